"""Two releases side by side: sizes, and every figure that was measured of both in the same way."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from pipeline.release.change import Change, between
from pipeline.release.comparable import why_not
from pipeline.release.metrics import MEASURES, PERPLEXITY, figures, judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.evidence import Evidence, Measurement
    from pipeline.lock import Lock
    from pipeline.manifest import Json
    from pipeline.release.change import Unknown
    from pipeline.release.losses import Losses
    from pipeline.release.metrics import Figure, Metric, Word

How = Literal["paired", "independent", "exact", "unknown"]


@dataclass(frozen=True)
class Side:
    """One of the two releases; losses: where its workspace is here and holds them."""

    name: str
    lock: Lock
    evidence: Evidence
    losses: Losses | None = None


@dataclass(frozen=True)
class Amounts:
    """Of all tensors, or of a class and then with what it is stored as, most bytes first."""

    bytes: int
    bits_per_weight: float
    precision: str = ""


@dataclass(frozen=True)
class Row:
    """A figure that was taken alike of both releases; None where only one of them has it.

    difference: the second minus the first; error: one standard error of it.
    how: token by token, of the two errors taken as independent, of exact figures, or without knowing any error.
    word: what the difference means for the second; None where no error is known.
    """

    figure: str
    unit: str
    values: tuple[float | None, float | None]
    errors: tuple[float | None, float | None]
    difference: float | None = None
    error: float | None = None
    how: How = "unknown"
    word: Word | None = None


@dataclass(frozen=True)
class Apart:
    """A measure of which the two releases hold no figures that were taken alike: both are shown, none is judged."""

    measure: str
    why: str
    figures: tuple[tuple[Figure, ...], tuple[Figure, ...]]


@dataclass(frozen=True)
class Comparison:
    """names: of the first and the second release, in which order everything else is too."""

    names: tuple[str, str]
    total: tuple[Amounts, Amounts]
    classes: tuple[tuple[str, Amounts | None, Amounts | None], ...]
    rows: tuple[Row, ...]
    apart: tuple[Apart, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "releases": list(self.names),
            "total": [asdict(amounts) for amounts in self.total],
            "classes": [
                {"class": name, "of": [asdict(amounts) if amounts else None for amounts in pair]}
                for name, *pair in self.classes
            ],
            "figures": [asdict(row) | {"values": list(row.values), "errors": list(row.errors)} for row in self.rows],
            "not_comparable": [
                {"measure": apart.measure, "why": apart.why, "figures": [_to_json(side) for side in apart.figures]}
                for apart in self.apart
            ],
        }


def compare(one: Side, other: Side) -> Comparison:
    """Every difference is from `one` to `other`."""
    rows: list[Row] = []
    apart: list[Apart] = []
    for measure in MEASURES:
        for first, second in _partners(one.evidence, other.evidence, measure):
            if why := _apart(first, second, (one.name, other.name)):
                apart.append(Apart(measure, why, (_figures(first), _figures(second))))
            elif first and second:
                rows += _rows(first, second, (one.losses, other.losses))
    names = dict.fromkeys(row.name for side in (one, other) for row in side.lock.classes)
    return Comparison(
        names=(one.name, other.name),
        total=(_total(one.lock), _total(other.lock)),
        classes=tuple((name, _class(one.lock, name), _class(other.lock, name)) for name in names),
        rows=tuple(rows),
        apart=tuple(apart),
    )


def _partners(one: Evidence, other: Evidence, measure: str) -> Iterator[tuple[Measurement | None, Measurement | None]]:
    """Measurements of the two results, each with one that was taken alike, or else with any, or alone."""
    ours, theirs = (
        [found for found in evidence.measurements if (found.measure, found.subject) == (measure, "quantized")]
        for evidence in (one, other)
    )
    for first in list(ours):
        if alike := next((second for second in theirs if not why_not(second, first)), None):
            ours.remove(first)
            theirs.remove(alike)
            yield first, alike
    yield from zip_longest(ours, theirs)


def _apart(first: Measurement | None, second: Measurement | None, names: tuple[str, str]) -> str:
    if first and second:
        return why_not(second, first)
    return f"measured of {names[0] if first else names[1]} only"


def _rows(first: Measurement, second: Measurement, kept: tuple[Losses | None, Losses | None]) -> Iterator[Row]:
    before, after = ({figure.name: figure for figure in figures(found)} for found in (first, second))
    for name, figure in (before | after).items():
        one, other = before.get(name), after.get(name)
        row = Row(
            name,
            figure.metric.unit,
            values=(one.value if one else None, other.value if other else None),
            errors=(one.error if one else None, other.error if other else None),
        )
        yield _judged(row, figure.metric, between(first, second, kept) if figure.metric is PERPLEXITY else None)


def _judged(row: Row, metric: Metric, change: Change | Unknown | None) -> Row:
    how: How
    if isinstance(change, Change):
        how = "unknown" if change.error is None else "paired" if change.paired else "independent"
        return replace(row, difference=change.points, error=change.points_error, how=how, word=change.word)
    (before, after), (one, other) = row.values, row.errors
    if before is None or after is None:
        return row
    error = math.hypot(one, other) if one is not None and other is not None else None
    how = "exact" if metric.exact else "unknown" if error is None else "independent"
    return replace(row, difference=after - before, error=error, how=how, word=judged(metric, after - before, error))


def _total(lock: Lock) -> Amounts:
    return Amounts(lock.bytes, lock.bits_per_weight)


def _class(lock: Lock, name: str) -> Amounts | None:
    rows = sorted((row for row in lock.classes if row.name == name), key=lambda row: -row.bytes)
    size, parameters = sum(row.bytes for row in rows), sum(row.parameters for row in rows)
    return Amounts(size, 8 * size / parameters, ", ".join(row.precision for row in rows)) if parameters else None


def _figures(measurement: Measurement | None) -> tuple[Figure, ...]:
    return figures(measurement) if measurement else ()


def _to_json(side: Sequence[Figure]) -> list[Json]:
    return [{"figure": f.name, "unit": f.metric.unit, "value": f.value, "error": f.error} for f in side]
