"""What changed of a card, as people read it in a terminal: worst first, and texts word by word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from pipeline.card import wording
from pipeline.console.terminal import INDENT, harmless, one_line, print_hanging, print_line, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pipeline.card.changes import Diff, Verdict, Words
    from pipeline.card.wording import Line

_STYLES: dict[Verdict, str] = {
    "REMOVED": "bold red",
    "worse": "red",
    "changed": "yellow",
    "added": "cyan",
    "better": "green",
    "within error": "dim",
}
_PARTS = {"same": "", "removed": "red strike", "added": "green"}
# Without colour, what was removed and added has to be told by its brackets.
_BRACKETS = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
_LONGEST = 300
_WIDEST = 10_000


def show_card_diff(diff: Diff, console: Console | None = None) -> None:
    console = console or stdout()
    print_hanging(console, Text(), _headline(diff))
    print_hanging(console, Text(), Text(f"from {one_line(diff.old)} to {one_line(diff.new)}", "dim"))
    for remark in wording.remarks(diff):
        print_hanging(console, Text(), Text(one_line(remark), "yellow"))
    for heading, lines in wording.tables(diff).items():
        print_line(console, Text())
        print_line(console, Text(heading, "bold"))
        _print_table(_table(lines, narrow=console.is_terminal and console.width < 100), console)
    if diff.words:
        print_line(console, Text())
        print_line(console, Text("Words", "bold"))
        for words in diff.words:
            _show_words(words, console)
    if diff.unified and not diff.counts:
        print_line(console, Text())
        for line in diff.unified.split("\n"):
            print_line(console, Text(harmless(line)))


def _headline(diff: Diff) -> Text:
    text = Text(one_line(wording.headline(diff)))
    text.stylize("bold", 0, len(one_line(diff.name)) + 1)
    for verdict in diff.counts:
        text.highlight_regex(rf"\b\d+ {verdict}\b", _STYLES[verdict])
    return text


def _table(lines: Sequence[Line], *, narrow: bool) -> Table:
    """narrow: values may wrap, or long names would leave no room for them."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=None, max_width=34 if narrow else None)
    for _ in range(2):
        table.add_column(overflow="fold", justify="right" if _short(lines) else "left")
    table.add_column(overflow="fold")
    for line in lines:
        style = _STYLES[line.verdict]
        cells = [Text(one_line(text, _LONGEST)) for text in (line.what, line.old, line.new, line.change)]
        table.add_row(Text(" " * INDENT + line.verdict, style), *cells)
    return table


def _short(lines: Sequence[Line]) -> bool:
    return max(len(text) for line in lines for text in (line.old, line.new)) <= 24


def _print_table(table: Table, console: Console) -> None:
    """As wide as the terminal; in a file or a pipe every change stands on one line, however long."""
    options = console.options if console.is_terminal else console.options.update(width=_WIDEST)
    for segments in console.render_lines(table, options, pad=False):
        text = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
        print_line(console, text)


def _show_words(words: Words, console: Console) -> None:
    style = _STYLES[words.verdict]
    head = Text.assemble(" " * INDENT, (words.verdict, style), "  ", one_line(words.what, _LONGEST))
    print_hanging(console, Text(), head)
    text = Text()
    for kind, part in words.parts:
        before, after = ("", "") if console.color_system else _BRACKETS[kind]
        inner = one_line(part)
        behind = " " if part.endswith((" ", "\n")) else ""
        text.append(f"{before}{inner}{after}{behind}", _PARTS[kind])
    text.rstrip()
    print_hanging(console, Text(" " * 3 * INDENT), text)
