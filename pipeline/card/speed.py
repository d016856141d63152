"""What the evidence says about speed: a column for each program that measured a model, none for two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pipeline.card import figures
from pipeline.card.escape import Markdown, code, plain, prose
from pipeline.card.models import OWN
from pipeline.evidence import HARNESS
from pipeline.release.metrics import SURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.card.models import Model, Models
    from pipeline.evidence import Measurement
    from pipeline.manifest import Json

BACKENDS = {"cpu": "the CPU", "metal": "the GPU, by Metal", "cuda": "the GPU, by CUDA"}
# Settings that tell no two columns of one model apart.
_ALIKE = frozenset({"command", "model", "reported"})


@dataclass(frozen=True)
class Rate:
    """deviation: of tokens per second over the trials; peak_memory: in bytes. None where it is not known."""

    tokens_per_second: float
    deviation: float | None
    peak_memory: int | None

    def text(self, places: int) -> str:
        """places: decimals where the deviation does not tell how many digits mean anything."""
        if self.deviation is None:
            return f"{self.tokens_per_second:.{places}f}"
        return figures.with_error(self.tokens_per_second, self.deviation)


@dataclass(frozen=True)
class Column:
    """One model, measured in one way; `prompt` and `generation` are by tokens, `how` is a sentence without its end."""

    name: Markdown
    linked: Markdown
    prompt: Mapping[int, Rate]
    generation: Mapping[int, Rate]
    how: Markdown
    own: bool
    reported: bool

    @property
    def rates(self) -> tuple[Rate, ...]:
        return (*self.prompt.values(), *self.generation.values())

    @property
    def places(self) -> int:
        return places(self.rates)

    @property
    def has_memory(self) -> bool:
        return any(rate.peak_memory for rate in self.rates)


@dataclass(frozen=True)
class Speed:
    columns: tuple[Column, ...] = ()

    @property
    def own(self) -> Column | None:
        """The released model's, as `pipeline` measured it."""
        return next((column for column in self.columns if column.own), None)

    @property
    def has_best(self) -> bool:
        return any(isinstance(cell, Markdown) for row in self.rows for cell in row)

    @property
    def is_sure(self) -> bool:
        """Whether a deviation is known wherever columns were timed in one way, so that bold means more than chance."""
        hows = [column.how for column in self.columns]
        alike = [column for column in self.columns if hows.count(column.how) > 1]
        return all(rate.deviation is not None for column in alike for rate in column.rates)

    @property
    def reported(self) -> bool:
        return any(column.reported for column in self.columns)

    @property
    def has_deviation(self) -> bool:
        return any(rate.deviation is not None for column in self.columns for rate in column.rates)

    @property
    def ways(self) -> tuple[tuple[Markdown, Markdown], ...]:
        """The names of the columns that were measured in one way, and that way."""
        names: dict[Markdown, list[str]] = {}
        for column in self.columns:
            names.setdefault(column.how, []).append(column.linked)
        return tuple((Markdown(", ".join(named)), how) for how, named in names.items())

    @property
    def headings(self) -> tuple[str, ...]:
        return ("Tokens per second", *(heading for c in self.columns for heading in _headings(c)))

    @property
    def align(self) -> str:
        return "l" + "r" * (len(self.headings) - 1)

    @property
    def rows(self) -> tuple[tuple[object, ...], ...]:
        rows: list[tuple[object, ...]] = []
        for words, kind in (("reading", "prompt"), ("generating", "generation")):
            tables: list[Mapping[int, Rate]] = [getattr(column, kind) for column in self.columns]
            for tokens in sorted({tokens for table in tables for tokens in table}):
                found = list(zip(self.columns, (table.get(tokens) for table in tables), strict=True))
                best = _fastest(found)
                cells = [
                    cell
                    for column, rate in found
                    for cell in _cells(column, rate, bold=any(rate is one for one in best))
                ]
                rows.append((f"{words} {figures.grouped(tokens)} tokens", *cells))
        return tuple(rows)


def read(models: Models) -> Speed:
    """The released model first, then its base, its siblings, and the others in the order of the evidence."""
    found = [one for one in models.evidence.measurements if one.measure == "speed"]
    found.sort(key=lambda one: models.order(one.subject))
    return Speed(tuple(_column(one, found, models.model(one.subject)) for one in found))


def _column(measurement: Measurement, every: Sequence[Measurement], model: Model) -> Column:
    values = cast("Mapping[str, Any]", measurement.values)
    difference = _difference(measurement, every)
    return Column(
        name=Markdown(f"{model.short}{difference}"),
        linked=Markdown(f"{model.short if measurement.subject == OWN else model.name}{difference}"),
        prompt=_rates(values["prompt"]),
        generation=_rates(values["generation"]),
        how=Markdown("; ".join(_how(measurement))),
        own=measurement.subject == OWN and measurement.source == "measured" and measurement.harness == HARNESS,
        reported=measurement.source == "reported",
    )


def _rates(rows: Sequence[Mapping[str, Any]]) -> dict[int, Rate]:
    return {
        int(row["tokens"]): Rate(float(row["tokens_per_second"]), row.get("deviation"), row.get("peak_memory"))
        for row in rows
    }


def _difference(measurement: Measurement, every: Sequence[Measurement]) -> str:
    words = apart(measurement, every)
    return f" ({plain(words)})" if words else ""


def places(rates: Iterable[Rate]) -> int:
    """Decimals that show all figures without a known deviation as they were given."""
    given = [rate.tokens_per_second for rate in rates if rate.deviation is None]
    return max((len(repr(value).partition(".")[2]) for value in given if not value.is_integer()), default=0)


def apart(measurement: Measurement, every: Sequence[Measurement]) -> str:
    """By what this one differs from others of the same model, to tell their columns apart; empty without others."""
    others = [one for one in every if one is not measurement and one.subject == measurement.subject]
    alike = [_circumstances(one) for one in others if one.harness == measurement.harness]
    here = _circumstances(measurement)
    keys = sorted(key for key in {*here}.union(*alike) if any(one.get(key) != here.get(key) for one in alike))
    words = [measurement.harness] if len(alike) < len(others) else []
    words += [f"{key} {here.get(key, 'unknown')}" for key in keys]
    return ", ".join(words)


def _circumstances(measurement: Measurement) -> dict[str, Json]:
    found: dict[str, Json] = {**measurement.machine, **measurement.tools, **measurement.settings}
    return {key: value for key, value in found.items() if key not in _ALIKE}


def _how(measurement: Measurement) -> Iterator[Markdown]:
    """In parts of that sentence."""
    settings = measurement.settings
    harness, build = settings.get("harness"), settings.get("build")
    if harness:
        yield plain(f"{harness} {build}" if build else str(harness))
    else:
        tools = {name: version for name, version in measurement.tools.items() if name in {"mlx", "mlx-lm"}}
        yield Markdown(f"the method of `mlx_lm.benchmark` with {plain(figures.versions(tools))}")
    if trials := settings.get("trials"):
        yield Markdown(f"{plain(str(trials))} {'trial' if trials == 1 else 'trials'}")
    if backend := settings.get("backend"):
        where = BACKENDS.get(str(backend), str(backend))
        dtype = settings.get("dtype")
        yield plain(f"in {dtype} on {where}" if dtype else f"on {where}")
    if machine := figures.machine(measurement.machine):
        yield plain(machine)
    elif measurement.source == "reported":
        yield Markdown("on which machine is not said")
    if command := settings.get("command"):
        yield code(str(command))
    if measurement.source == "reported":
        yield prose(f"reported at {settings['reported']}" if settings.get("reported") else "reported")


def _headings(column: Column) -> Iterator[Markdown]:
    yield column.name
    if column.has_memory:
        yield Markdown("its peak memory")


def _fastest(row: Sequence[tuple[Column, Rate | None]]) -> list[Rate]:
    """Of all that were timed in one way the fastest, unless its lead may be chance."""
    ways: dict[Markdown, list[Rate]] = {}
    for column, rate in row:
        if rate:
            ways.setdefault(column.how, []).append(rate)
    best = []
    for rates in ways.values():
        first, *others = sorted(rates, key=lambda rate: -rate.tokens_per_second)
        if others and first.tokens_per_second - others[0].tokens_per_second > SURE * math.hypot(
            first.deviation or 0, others[0].deviation or 0
        ):
            best.append(first)
    return best


def _cells(column: Column, rate: Rate | None, *, bold: bool) -> Iterator[str]:
    text = rate.text(column.places) if rate else ""
    yield Markdown(f"**{text}**") if bold else text
    if column.has_memory:
        yield figures.byte_size(rate.peak_memory) if rate and rate.peak_memory else ""
