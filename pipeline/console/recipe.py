"""A recipe as people check it: every tensor class, what it gets, and which line says so and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.card.figures import bits, byte_size, grouped, percent, quantity
from pipeline.console.terminal import one_line, print_hanging, print_line, print_rows, stderr, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pipeline.release.overview import By, Row
    from pipeline.release.proposal import Share
    from pipeline.release.solve import Solution

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


def show_shares(
    shares: Sequence[Share], solution: Solution, budget: int, bits_per_weight: float, *, aside: bool = False
) -> None:
    """A proposal: what every class would get, cost and lose. aside: on standard error, beside the recipe itself."""
    console = stderr() if aside else stdout()
    table = [[Text(heading, style="dim") for heading in ("class", "modules", "precision", "size", "error", "layers")]]
    name = ""
    for share in shares:
        table.append(
            [
                Text(one_line(share.name) if share.name != name else "", style="bold"),
                Text(str(len(share.modules))),
                Text(str(share.decision), style="cyan"),
                Text(byte_size(share.nbytes)),
                Text(percent(share.error) if share.error else ""),
                Text(str(share.layers or ""), style="dim"),
            ]
        )
        name = share.name
    print_rows(console, table, right={1, 3, 4})
    print_line(console, Text())
    close = f"{grouped(solution.nbytes)} of {grouped(budget)} bytes, {bits(bits_per_weight)} bits per weight."
    print_hanging(console, Text(), Text(close, style="bold"))
    if solution.error:
        above = (solution.error - solution.bound) / solution.error
        remark = f"The weighted sum of relative squared errors is {solution.error:.4g}"
        remark += (
            f"; at best it could be {percent(above)} less." if above else "; nothing that is allowed and fits has less."
        )
        print_hanging(console, Text(), Text(remark, style="dim"))


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
