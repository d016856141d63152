"""Two releases side by side: sizes by tensor class, then every figure with what the difference means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.card import figures
from pipeline.console.terminal import INDENT, one_line, print_hanging, print_line, print_rows, stdout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from pipeline.release.compare import Amounts, Apart, Comparison, How, Row
    from pipeline.release.metrics import Figure

    Cells = Sequence[Text]

# Units that stand beside the name, where they take less room than beside every value.
_NAMED = {"nats", "tokens/s"}
_STYLES = {"better": "green", "worse": "red"}
_HOW: Mapping[How, tuple[str, str]] = {
    "paired": ("paired", "the error is that of the difference token by token, clustered by window"),
    "independent": (
        "independent",
        "the errors of the two figures are taken as independent; on the same tokens the true one is smaller",
    ),
    "unknown": ("error unknown", "how much the figure varies by chance is not known, so it is not judged"),
    "exact": ("", ""),
}


def show_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """What the second release is like, seen from the first."""
    console = console or stdout()
    one, other = map(one_line, comparison.names)
    print_hanging(console, Text(), Text.assemble((other, "bold"), " against ", (one, "bold")))
    print_line(console, Text())
    print_rows(console, list(_sizes(comparison, one, other)), right={1, 2})
    if comparison.rows:
        print_line(console, Text())
        print_rows(console, list(_figures(comparison.rows, one, other)), right={2, 3})
        used = {row.how for row in comparison.rows if row.difference is not None}
        print_line(console, Text())
        for how in (how for how in _HOW if how in used):
            name, meaning = _HOW[how]
            if name:
                print_hanging(console, Text(f"{' ' * INDENT}{name}: ", "dim"), Text(meaning, "dim"))
    for apart in comparison.apart:
        print_line(console, Text())
        _show_apart(apart, (one, other), console)


def _sizes(comparison: Comparison, one: str, other: str) -> Iterator[Cells]:
    yield (Text("bits per weight, and bytes", "bold"),)
    yield _head("tensors", one, other, "difference")
    yield _size("all", *comparison.total)
    for name, before, after in comparison.classes:
        yield _size(name, before, after)


def _size(name: str, before: Amounts | None, after: Amounts | None) -> Cells:
    change = figures.percent(after.bytes / before.bytes - 1, sign=True) if before and after else ""
    return Text(one_line(name)), Text(_amounts(before)), Text(_amounts(after)), Text(change)


def _amounts(amounts: Amounts | None) -> str:
    return f"{figures.bits(amounts.bits_per_weight)}, {figures.byte_size(amounts.bytes)}" if amounts else "none"


def _figures(rows: Sequence[Row], one: str, other: str) -> Iterator[Cells]:
    yield (Text("measured", "bold"),)
    yield _head("", "", one, other, "difference")
    for row in rows:
        before, after = (
            "none" if value is None else _value(row.unit, value, error)
            for value, error in zip(row.values, row.errors, strict=True)
        )
        yield (
            Text(row.word or "", _STYLES.get(row.word or "", "")),
            Text(one_line(row.figure) + (f", {row.unit}" if row.unit in _NAMED else "")),
            Text(before),
            Text(after),
            _difference(row),
        )


def _show_apart(apart: Apart, names: tuple[str, str], console: Console) -> None:
    title = Text.assemble((one_line(apart.measure).replace("_", " "), "bold"), ", not compared: ")
    print_hanging(console, title, Text(one_line(apart.why)))
    for name, side in zip(names, apart.figures, strict=True):
        if side:
            print_hanging(console, Text(f"{' ' * INDENT}{name}  "), Text(", ".join(map(_named, side)), "dim"))


def _named(figure: Figure) -> str:
    unit = figure.metric.unit
    return f"{one_line(figure.name)} {_value(unit, figure.value, figure.error)}{f' {unit}' if unit in _NAMED else ''}"


def _value(unit: str, value: float, error: float | None) -> str:
    match unit:
        case "share":
            return figures.share(value, error)
        case "bytes":
            return figures.byte_size(round(value))
        case "problems":
            return "passed" if not value else "1 problem" if value == 1 else f"{value:.0f} problems"
    return figures.with_error(value, error or None)


def _difference(row: Row) -> Text:
    if row.difference is None:
        return Text("only one has it", "dim")
    how = _HOW[row.how][0]
    return Text.assemble(_amount(row.unit, row.difference, row.error), (f", {how}" if how else "", "dim"))


def _amount(unit: str, difference: float, error: float | None) -> str:
    if unit == "bytes":
        return _bytes(difference)
    if unit == "problems":
        return figures.signed(difference, 0)
    scale, sign = (100, " %") if unit == "share" else (1, "")
    places = len(figures.significant(abs(difference) * scale).partition(".")[2])
    if not error:
        return figures.signed(difference * scale, places) + sign
    places = figures.decimals(error * scale)
    return f"{figures.signed(difference * scale, places)} ± {error * scale:.{places}f}{sign}"


def _bytes(difference: float) -> str:
    size = figures.byte_size(round(abs(difference)))
    return size if not difference else f"{'+' if difference > 0 else figures.MINUS}{size}"


def _head(*names: str) -> Cells:
    return tuple(Text(name, style="dim") for name in names)
