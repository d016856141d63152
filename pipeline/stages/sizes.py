"""How large a release comes out, what it takes to make and to run it, and what decided that, before any download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.release.macs import smallest_mac
from pipeline.stages.fit import fits, usable
from pipeline.weights.base import weight_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.manifest import Json
    from pipeline.release.recipe import Assignment
    from pipeline.release.schema import Fit
    from pipeline.stages.job import Planned
    from pipeline.weights.layout import Layout, TensorClass

_CONTEXTS = (4 << 10, 32 << 10, 128 << 10)


@dataclass(frozen=True)
class RuleCount:
    """Who decided about how many modules: a rule with its line, or the architecture itself, or `otherwise`.

    precision: what they got; several where the architecture wishes several.
    """

    file: str
    line: int
    match: str
    layers: str
    precision: str
    modules: int


@dataclass(frozen=True)
class Memory:
    """Bytes to run the model with `context` tokens read; `cache` is None when that cannot be known.

    mac: the memory of the smallest Mac that it fits on as macOS is delivered; None when there is none.
    """

    context: int
    weights: int
    cache: int | None
    mac: int | None

    @property
    def nbytes(self) -> int | None:
        return None if self.cache is None else self.weights + self.cache


@dataclass(frozen=True)
class Disk:
    """Bytes: of the base's weights, of the result, and of the base files that a single shard is made from, at most."""

    base: int
    result: int
    window: int


@dataclass(frozen=True)
class Sizes:
    """rules: of the recipe, in order; beyond: modules that no rule decided.

    largest: bytes of the largest shard; whole: parameters that are computed whole and not in slabs.
    room: bytes that the GPU may use and that are not kept for others, where `fit` names a machine.
    note: how far what is known of the base can be trusted.
    """

    parameters: int
    nbytes: int
    bits_per_weight: float
    shards: tuple[tuple[str, int], ...]
    classes: tuple[TensorClass, ...]
    rules: tuple[RuleCount, ...]
    beyond: tuple[RuleCount, ...]
    memory: tuple[Memory, ...]
    disk: Disk
    whole: tuple[str, ...]
    fit: Fit | None
    room: int | None
    fits: bool | None
    note: str

    def to_json(self) -> dict[str, Json]:
        return {
            "parameters": self.parameters,
            "bytes": self.nbytes,
            "bits_per_weight": self.bits_per_weight,
            "shards": [{"name": name, "bytes": size} for name, size in self.shards],
            "classes": [
                {"name": row.name, "parameters": row.parameters, "precision": row.precision, "bytes": row.nbytes}
                for row in self.classes
            ],
            "rules": [{"line": rule.line, "match": rule.match, "modules": rule.modules} for rule in self.rules],
            "memory": [{"context": row.context, "bytes": row.nbytes} for row in self.memory],
            "fits": self.fits,
        }


def sizes(job: Planned, contexts: Iterable[int] = ()) -> Sizes:
    """Everything about sizes that a plan shows, with the memory at `contexts`, or at usual lengths without any."""
    layout, fit = job.layout, job.release.fit
    lengths = sorted({*contexts, *([fit.context] if fit and fit.context else [])} if contexts else _usual(job))
    room = usable(fit) if fit else None
    return Sizes(
        parameters=layout.parameters,
        nbytes=layout.nbytes,
        bits_per_weight=layout.bits_per_weight,
        shards=tuple((shard.name, shard.size) for shard in layout.shards),
        classes=layout.classes,
        rules=_rules(job.assignment),
        beyond=_beyond(job.assignment),
        memory=tuple(_memory(layout, context) for context in lengths),
        disk=_disk(job),
        whole=tuple(sorted(layout.whole)),
        fit=fit,
        room=None if room is None or fit is None else room - (fit.beside or 0),
        fits=fits(layout, fit) if fit else None,
        note=job.base.note,
    )


def _usual(job: Planned) -> set[int]:
    """A few lengths up to the longest that the model was made for, and the one that `fit` asks for."""
    fit = job.release.fit
    longest = longest_context(job.base.config)
    usual = {context for context in _CONTEXTS if longest is None or context <= longest}
    return usual | ({longest} if longest else set()) | ({fit.context} if fit and fit.context else set())


def longest_context(config: Mapping[str, Json]) -> int | None:
    """The tokens that the model was made for, as config.json says."""
    text_config = config.get("text_config")
    for table in (config, text_config if isinstance(text_config, dict) else {}):
        longest = table.get("max_position_embeddings")
        if isinstance(longest, int) and longest > 0:
            return longest
    return None


def _memory(layout: Layout, context: int) -> Memory:
    cache = layout.cache.nbytes(context) if layout.cache else None
    return Memory(context, layout.nbytes, cache, None if cache is None else smallest_mac(layout.nbytes + cache))


def _disk(job: Planned) -> Disk:
    weights = {path: job.base.files[path].size for path in weight_files(job.base.files)}
    return Disk(
        base=sum(weights.values()),
        result=sum(shard.size for shard in job.layout.shards),
        window=max((sum(weights[path] for path in job.layout.needs(shard)) for shard in job.layout.shards), default=0),
    )


def _rules(assignment: Assignment) -> tuple[RuleCount, ...]:
    return tuple(
        RuleCount(
            rule.place.file,
            rule.place.line,
            rule.match,
            str(rule.layers) if rule.layers else "",
            str(rule.decision),
            count,
        )
        for rule, count in zip(assignment.recipe.rules, assignment.counts, strict=True)
    )


def _beyond(assignment: Assignment) -> tuple[RuleCount, ...]:
    rows = []
    for by in ("architecture", "otherwise"):
        given = [str(one.precision) for one in assignment.modules if one.by == by]
        place = assignment.recipe.place
        if given:
            precision = ", ".join(dict.fromkeys(given))
            rows.append(RuleCount(place.file, place.line, by, "", precision, len(given)))
    return tuple(rows)
