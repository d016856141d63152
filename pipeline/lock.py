"""What happened in a release, exactly: `release.lock.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.evidence import dump
from pipeline.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1


@dataclass(frozen=True)
class LockedBase:
    """digest: of the manifest of the base's files at that commit."""

    repo: str
    revision: str
    digest: str


@dataclass(frozen=True)
class LockedRule:
    """modules: how many the rule decided; layers: "" for all; precision: as on the card, such as "5 bit g64"."""

    match: str
    layers: str
    precision: str
    modules: int
    why: str


@dataclass(frozen=True)
class LockedRecipe:
    """digest: of the decisions of the recipe, with those of what it extends; otherwise: for modules without a rule."""

    name: str
    version: int
    digest: str
    otherwise: str


@dataclass(frozen=True)
class TensorClass:
    """Tensors of one kind over all layers that share a precision, such as all `self_attn.q_proj` in 6 bit."""

    name: str
    parameters: int
    precision: str
    bytes: int


@dataclass(frozen=True)
class LockedTarget:
    """commit: None as long as nothing is published."""

    repo: str
    tag: str
    commit: str | None = None


@dataclass(frozen=True)
class ContextMemory:
    """Bytes of the weights and of the cache of `context` tokens, by their shapes."""

    context: int
    bytes: int


@dataclass(frozen=True)
class LockedWaiver:
    """A threshold that was missed and waived: what was asked, what came out, and the reason."""

    threshold: str
    asked: str
    measured: str
    why: str


@dataclass(frozen=True)
class Lock:
    """model: every file of the result; bytes: of its tensors, scales and biases included; tools: name to version."""

    base: LockedBase
    recipe: LockedRecipe
    model: Manifest
    parameters: int
    bytes: int
    bits_per_weight: float
    classes: tuple[TensorClass, ...]
    rules: tuple[LockedRule, ...]
    tools: Mapping[str, str]
    target: LockedTarget
    waived: tuple[LockedWaiver, ...] = ()
    memory: tuple[ContextMemory, ...] = ()

    def to_json(self) -> str:
        fields = asdict(self)
        for key in ("waived", "memory"):  # a lock without them is as one that is older than they are
            if not fields[key]:
                del fields[key]
        return dump({**fields, "schema": SCHEMA, "model": self.model.to_json(), "tools": dict(self.tools)})

    @classmethod
    def from_json(cls, text: str) -> Lock:
        """The lock that `to_json` wrote; `PipelineError` for a file that something else wrote."""
        try:
            row = json.loads(text)
            if row["schema"] != SCHEMA:
                raise PipelineError(
                    f"release.lock.json has schema {row['schema']}, and this pipeline knows {SCHEMA}",
                    hint="It was written by another version of pipeline; release again with this one.",
                )
            return cls(
                base=LockedBase(**row["base"]),
                recipe=LockedRecipe(**row["recipe"]),
                model=Manifest.from_json(row["model"]),
                parameters=row["parameters"],
                bytes=row["bytes"],
                bits_per_weight=row["bits_per_weight"],
                classes=tuple(TensorClass(**found) for found in row["classes"]),
                rules=tuple(LockedRule(**rule) for rule in row["rules"]),
                tools=row["tools"],
                target=LockedTarget(**row["target"]),
                waived=tuple(LockedWaiver(**waived) for waived in row.get("waived", ())),
                memory=tuple(ContextMemory(**found) for found in row.get("memory", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PipelineError(
                f"release.lock.json is not a lock file: {error}",
                hint="It is written by `pipeline release`; restore it from git or release again.",
            ) from None
