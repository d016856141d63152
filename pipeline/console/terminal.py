"""Where text goes and how it lies there: the two streams, aligned rows, and words of others made harmless."""

from __future__ import annotations

import io
import re
import sys
import unicodedata
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

INDENT = 2
_GAP = 2
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT = {"\n", "\t", "\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}


def stdout() -> Console:
    # A figure that the terminal's encoding lacks is shown as an escape; it never ends a run of hours.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(markup=False, emoji=False, highlight=False)


def stderr() -> Console:
    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def harmless(text: object) -> str:
    """The text with every character that steers a terminal or hides itself written as an escape.

    Repository names, file names and what a language model says are written by others.
    """
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN and c not in _KEPT else c for c in str(text))


def one_line(text: object, limit: int = 0) -> str:
    """`harmless`, with line breaks as spaces; cut between words where `limit` is given and passed."""
    line = harmless(" ".join(str(text).split()))
    if not limit or len(line) <= limit:
        return line
    words, space, _ = line[:limit].rpartition(" ")
    return (words if space else line[:limit]) + " …"


def print_hanging(console: Console, prefix: Text, text: Text) -> None:
    """Print `text` after `prefix`, its further lines below its first.

    Words are never broken, so that a path or an address can be copied; and a file or a pipe gets lines as they are.
    """
    room = console.width - prefix.cell_len if console.is_terminal else sys.maxsize
    lines: list[Text] = []
    longest = max(map(cell_len, text.plain.split()), default=0)
    below = console.width - 2 * INDENT
    if text.cell_len > room and (room < console.width // 3 or room < longest <= below):
        lines.append(prefix)
        prefix, room = Text(" " * 2 * INDENT), below
    for number, line in enumerate(_wrap(text, room)):
        lines.append(Text.assemble(" " * prefix.cell_len if number else prefix, line))
    # One call, so that what another thread says does not come between.
    print_lines(console, lines)


def print_rows(console: Console, rows: Sequence[Sequence[Text]], right: Collection[int] = ()) -> None:
    """Print cells in columns, the last one hanging; a row of one cell is a heading and takes no part in the widths.

    right: the columns whose cells stand at the right.
    """
    columns = zip(*(row for row in rows if len(row) > 1), strict=True)
    most = console.width * 3 // 5 if console.is_terminal else sys.maxsize
    widths = [max((cell.cell_len for cell in column if cell.cell_len <= most), default=0) for column in columns]
    for row in rows:
        prefix = Text(" " * (INDENT if len(row) > 1 else 0))
        for index, cell in enumerate(row[:-1]):
            padding = " " * (widths[index] - cell.cell_len)
            prefix.append_text(Text.assemble(padding, cell) if index in right else Text.assemble(cell, padding))
            prefix.append(" " * _GAP)
        print_hanging(console, prefix, row[-1])


def rows_width(rows: Sequence[Sequence[Text]]) -> int:
    """The least width at which no cell of `print_rows` wraps."""
    widths: list[int] = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    return INDENT + sum(widths) + _GAP * (len(widths) - 1)


def print_line(console: Console, line: Text) -> None:
    """One line as it is: not wrapped, not cropped, no blanks at its end."""
    print_lines(console, [line])


def print_lines(console: Console, lines: Sequence[Text]) -> None:
    for line in lines:
        line.rstrip()
    console.print(Text("\n").join(lines), soft_wrap=True)


def _wrap(text: Text, width: int) -> list[Text]:
    """Like `Text.wrap`, which breaks or cuts a word that is longer than a line."""
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        breaks, used = [], 0
        for match in re.finditer(r"\s*\S+\s*", line.plain):
            if used and used + cell_len(match[0].rstrip()) > width:
                breaks.append(match.start())
                used = 0
            used += cell_len(match[0])
        lines.extend(line.divide(breaks))
    return lines


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
