"""A recipe as people check it: every tensor class, what it gets, and which line says so and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.card.figures import bits, quantity
from pipeline.console.terminal import one_line, print_hanging, print_line, print_rows, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pipeline.release.overview import By, Row

_HEADINGS = ("class", "modules", "layers", "weights", "precision", "line", "why")
_RIGHT = {1, 3, 5}
_OTHERS = {"otherwise": "the recipe's `otherwise`", "architecture": "the architecture's own wish"}


def show_recipe(headline: str, rows: Sequence[Row], file: str, console: Console | None = None) -> None:
    """file: the recipe's own; rules from another one, which it extends, are shown with the name of theirs."""
    console = console or stdout()
    print_hanging(console, Text(), Text(one_line(headline), style="bold"))
    print_line(console, Text())
    table = [[Text(heading, style="dim") for heading in _HEADINGS]]
    name: str = ""
    by: By | None = None
    for row in rows:
        table.append(
            [
                Text(one_line(row.name) if row.name != name else "", style="bold"),
                Text(str(row.modules)),
                Text(str(row.layers or "")),
                Text(quantity(row.parameters)),
                Text(str(row.precision), style="cyan"),
                Text(_line(row, file)),
                _why(row, again=row.by == by),
            ]
        )
        name, by = row.name, row.by
    print_rows(console, table, right=_RIGHT)
    weights = sum(row.parameters for row in rows)
    total = sum(row.parameters * row.precision.bits_per_weight for row in rows)
    print_line(console, Text())
    summary = (
        f"{sum(row.modules for row in rows)} modules, {quantity(weights)} weights, {bits(total / weights)} bits each."
    )
    print_hanging(console, Text(), Text(summary, style="bold"))


def _line(row: Row, file: str) -> str:
    if isinstance(row.by, str):
        return ""
    place = row.by.place
    return str(place.line) if place.file == file else f"{place.file.rpartition('/')[2]}:{place.line}"


def _why(row: Row, *, again: bool) -> Text:
    by = _OTHERS[row.by] if isinstance(row.by, str) else ""
    text = Text("" if again else one_line(": ".join(part for part in (by, row.why) if part)), style="dim")
    if row.overrides:
        text.append(f" (the architecture wishes for {row.wish})", style="yellow")
    return text
