"""Markdown tables that read well before anyone renders them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from pipeline.card.escape import Markdown, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPEN_PIPE = re.compile(r"(?<!\\)\|")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], align: str = "") -> Markdown:
    """A GitHub-flavoured table, columns padded to equal width; `align` has one letter a column, `l` or `r`."""
    align = align or "l" * len(headings)
    cells = [[cell(value) for value in row] for row in (headings, *rows)]
    widths = [max(3, *(width(text) for text in column)) for column in zip(*cells, strict=True)]
    rule = [f"{'-' * (w + 1)}:" if a == "r" else f":{'-' * (w + 1)}" for w, a in zip(widths, align, strict=True)]
    lines = [
        "| " + " | ".join(_padded(text, w, a) for text, w, a in zip(row, widths, align, strict=True)) + " |"
        for row in cells
    ]
    return Markdown("\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]]))


def cell(value: object) -> str:
    """What is not Markdown already becomes `plain`; a pipe never ends the cell."""
    text = value if isinstance(value, Markdown) else plain(str(value))
    return _OPEN_PIPE.sub(r"\\|", " ".join(text.split("\n")))


def width(text: str) -> int:
    """Columns of a terminal: two for East Asian wide characters, none for combining marks."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _padded(text: str, columns: int, align: str) -> str:
    space = " " * (columns - width(text))
    return space + text if align == "r" else text + space
