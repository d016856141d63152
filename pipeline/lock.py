"""What happened in a release, exactly: `release.lock.json`."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.evidence import built, complete, dump, each, opened
from pipeline.manifest import Manifest
from pipeline.metadata.base_card import BaseCard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = 1
_TASK = "text-generation"


@dataclass(frozen=True)
class LockedBase:
    """digest: of the manifest of the base's files at that commit.

    card: what its own card says; bytes: of its weights; None where not known.
    """

    repo: str
    revision: str
    digest: str
    card: BaseCard | None = None
    bytes: int | None = None


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
    """Tensors of one kind over all layers that share a precision, such as all `self_attn.q_proj` in 6 bit.

    rules: which of the recipe's rules that decided anything gave it to them, counted from 1; empty where none did.
    """

    name: str
    parameters: int
    precision: str
    bytes: int
    rules: Sequence[int] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))  # JSON has lists only


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
class LockedInputs:
    """What a person wrote, in the release repository: the last commit that touched it, None where there is none yet.

    dirty: it was not all committed when the card was rendered.
    """

    commit: str | None
    dirty: bool


@dataclass(frozen=True)
class Lock:
    """model: every file of the result; bytes: of its tensors, scales and biases included; tools: name to version.

    pipeline_tag: its task, as the Hub names that; text_only: the base reads images, and this does not.
    made: the day (UTC) on which the last weights were written, such as 2026-01-31; "" where that is not known.
    inputs: None outside of git.
    """

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
    pipeline_tag: str = _TASK
    text_only: bool = False
    made: str = ""
    waived: tuple[LockedWaiver, ...] = ()
    memory: tuple[ContextMemory, ...] = ()
    inputs: LockedInputs | None = None

    def to_json(self) -> str:
        fields = asdict(self)
        for key in ("made", "waived", "memory", "inputs"):  # a lock without them is as one that is older than they are
            if not fields[key]:
                del fields[key]
        if not self.text_only:
            del fields["text_only"]
        if self.pipeline_tag == _TASK:
            del fields["pipeline_tag"]
        del fields["base"]["card"]
        if self.base.card:
            fields["base"]["card"] = self.base.card.to_json()
        if fields["base"]["bytes"] is None:
            del fields["base"]["bytes"]
        return dump({**fields, "schema": SCHEMA, "model": self.model.to_json(), "tools": dict(self.tools)})

    @classmethod
    def from_json(cls, text: str, name: str = "release.lock.json") -> Lock:
        """The lock that `to_json` wrote; `PipelineError` that names the file for what something else wrote."""
        try:
            row = opened(text, ("schema",))
            if row["schema"] != SCHEMA:
                raise PipelineError(
                    f"{name} has schema {row['schema']}, and this pipeline knows {SCHEMA}",
                    hint="It was written by another version of pipeline; release again with this one.",
                )
            complete(row, (field.name for field in fields(cls) if field.default is MISSING), "it")
            base = built(LockedBase, row["base"], "`base`")
            return cls(
                base=base if base.card is None else replace(base, card=BaseCard.from_json(base.card)),
                recipe=built(LockedRecipe, row["recipe"], "`recipe`"),
                model=Manifest.from_json(row["model"]),
                parameters=row["parameters"],
                bytes=row["bytes"],
                bits_per_weight=row["bits_per_weight"],
                classes=each(TensorClass, row, "classes"),
                rules=each(LockedRule, row, "rules"),
                tools=row["tools"],
                target=built(LockedTarget, row["target"], "`target`"),
                pipeline_tag=str(row.get("pipeline_tag", _TASK)),
                text_only=row.get("text_only") is True,
                made=str(row.get("made", "")),
                waived=each(LockedWaiver, row, "waived"),
                memory=each(ContextMemory, row, "memory"),
                inputs=built(LockedInputs, row["inputs"], "`inputs`") if "inputs" in row else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            why = f"a file of `model` has no `{error.args[0]}`" if isinstance(error, KeyError) else str(error)
            raise PipelineError(
                f"{name} is not a lock file: {why}",
                hint="It is written by `pipeline release`; restore it from git or release again.",
            ) from None
