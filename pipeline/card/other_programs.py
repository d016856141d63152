"""What the evidence says of perplexity by other programs: a table for each way of measuring, none for two of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card import figures
from pipeline.card.escape import Markdown, code, plain, prose
from pipeline.card.models import OWN
from pipeline.card.speed import BACKENDS
from pipeline.card.standing import against
from pipeline.release.change import Change, between
from pipeline.release.comparable import why_not
from pipeline.release.metrics import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.card.models import Model, Models
    from pipeline.evidence import Measurement

# After `python`, -m names a module and no model.
_MODEL = re.compile(r"""(?<!python)(?<!python3)( -m| --model)([ =])(?:'[^']*'|"[^"]*"|\S+)""")


@dataclass(frozen=True)
class Table:
    """Perplexities that were measured in one way, which `how` says; `best`: one of them is surely the lowest.

    verdict: what it says of the released model, as a part of a sentence; empty when it says nothing.
    """

    how: Markdown
    headings: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    align: str
    compared: bool
    verdict: Markdown
    best: bool
    has_error: bool
    reported: bool


@dataclass(frozen=True)
class OtherPrograms:
    tables: tuple[Table, ...] = ()

    @property
    def reported(self) -> bool:
        return any(table.reported for table in self.tables)

    @property
    def has_error(self) -> bool:
        return any(table.has_error for table in self.tables)

    @property
    def verdict(self) -> Markdown:
        return next((table.verdict for table in self.tables if table.verdict), Markdown(""))


def read(models: Models) -> OtherPrograms:
    """In each table the released model first, then its base, its siblings, and the others in the evidence's order."""
    ways: list[list[Measurement]] = []
    for one in models.evidence.measurements:
        if one.measure == "perplexity" and one.imported:
            way = next((way for way in ways if alike(one, way[0])), None)
            if way is None:
                ways.append([one])
            else:
                way.append(one)
    return OtherPrograms(tuple(_table(way, models) for way in ways))


def alike(one: Measurement, other: Measurement) -> bool:
    """Of a figure that a person wrote down, the command line may be all that tells how long a window was."""
    return not why_not(one, other) and _command(one) == _command(other)


def _command(measurement: Measurement) -> str:
    """Without the model, which the row names."""
    return _MODEL.sub(r"\1\2MODEL", str(measurement.settings.get("command", "")))


def _table(way: list[Measurement], models: Models) -> Table:
    way.sort(key=lambda one: models.order(one.subject))
    best, first = _best(way), _first(way, models)
    names = [models.model(one.subject) for one in way]
    origins = [_origin(one) for one in way]
    columns: dict[str, Sequence[object]] = {
        "Model": [model.name for model in names],
        "Size": ["" if model.bytes is None else figures.byte_size(model.bytes) for model in names],
        "Perplexity": [_figure(one, one is best) for one in way],
    }
    if first:
        columns[f"Against {models.model(first.subject).label}"] = [_against(first, one) for one in way]
    apart = len(set(origins)) > 1
    if apart:
        columns["From"] = [origin or "measured" for origin in origins]
    columns = {heading: column for heading, column in columns.items() if any(column)}
    return Table(
        how=Markdown("; ".join([*_how(way), *([] if apart or not origins[0] else origins[:1])])),
        headings=tuple(columns),
        rows=tuple(zip(*columns.values(), strict=True)),
        align="".join("l" if heading in {"Model", "From"} else "r" for heading in columns),
        compared=bool(first and any(_against(first, one) for one in way)),
        verdict=_verdict(first, best, way[0], models),
        best=best is not None,
        has_error=any(_error(one) is not None for one in way),
        reported=any(one.source == "reported" for one in way),
    )


def _first(way: Sequence[Measurement], models: Models) -> Measurement | None:
    """What the others are measured against: the base, or else the first sibling that the release names."""
    known = [one for one in way if one.subject in models.known and one.subject != OWN]
    return known[0] if known and len(way) > 1 else None


def _against(first: Measurement, one: Measurement) -> str:
    change = between(first, one) if one is not first else None
    return against(change) if isinstance(change, Change) else ""


def _verdict(first: Measurement | None, best: Measurement | None, own: Measurement, models: Models) -> Markdown:
    if own.subject != OWN:
        return Markdown("")
    said = f"{'Reported perplexity' if own.source == 'reported' else 'Perplexity'} {_figure(own, best=False)}"
    held_against = {one.subject: one for one in (first, best) if one and one is not own}
    words = [word for one in held_against.values() if (word := _word(one, own, models.model(one.subject)))]
    return Markdown(", ".join([said, " and ".join(words)]) if words else said)


def _word(other: Measurement, own: Measurement, model: Model) -> str:
    change = between(other, own)
    if not isinstance(change, Change) or change.word not in {"better", "worse", "within error"}:
        return ""
    word = "within the error of" if change.word == "within error" else f"{change.word} than"
    size = f" at {figures.byte_size(model.bytes)}" if model.bytes else ""
    return f"{word} {plain(model.label)}'s {_figure(other, best=False)}{size}"


def _best(way: Sequence[Measurement]) -> Measurement | None:
    """The one that is lower than each of the others by more than the error of their difference, if that is known."""
    lowest = min(way, key=_perplexity)
    changes = [between(other, lowest) for other in way if other is not lowest]
    sure = all(isinstance(change, Change) and change.error and change.word == "better" for change in changes)
    return lowest if changes and sure else None


def _figure(measurement: Measurement, best: bool) -> Markdown:
    text = figures.with_error(_perplexity(measurement), _error(measurement))
    return Markdown(f"**{text}**" if best else text)


def _perplexity(measurement: Measurement) -> float:
    value = number(measurement.values, "perplexity")
    return float("nan") if value is None else value


def _error(measurement: Measurement) -> float | None:
    return number(measurement.values, "standard_error")


def _how(way: Sequence[Measurement]) -> Iterator[Markdown]:
    """What is the same of all of them, in parts of a sentence that begins with `By`."""
    settings = way[0].settings
    program, text = plain(" ".join(str(settings[key]) for key in ("harness", "build") if key in settings)), ""
    if "text" in settings:
        text = f" on {prose(str(settings['text']))}"
    yield Markdown(program + text)
    if tokens := number(way[0].values, "tokens"):
        yield Markdown(f"{figures.grouped(int(tokens))} predictions")
    if backend := settings.get("backend"):
        yield plain(f"on {BACKENDS.get(str(backend), str(backend))}")
    commands = {str(one.settings.get("command", "")) for one in way}
    if command := commands.pop() if len(commands) == 1 else _command(way[0]):
        yield code(command)


def _origin(measurement: Measurement) -> Markdown:
    """On which machine it was measured and where it was reported, as far as that is said."""
    machine, place = figures.machine(measurement.machine), measurement.settings.get("reported")
    said = [plain(machine)] if machine else []
    if measurement.source == "reported":
        said.append(prose(f"reported at {place}" if place else "reported"))
    return Markdown("; ".join(said))
