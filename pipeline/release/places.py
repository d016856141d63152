"""Where in a file a person wrote a value, and how a problem with it is shown."""

from __future__ import annotations

import difflib
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyPath: TypeAlias = "tuple[str | int, ...]"

_WIDTH = 110


@dataclass(frozen=True, order=True)
class Place:
    """A value in a file: `line` and `column` count from one, `source` is that line's text; line 0 is no line of it."""

    file: str
    line: int = 1
    column: int = 1
    path: str = ""
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, order=True)
class Problem:
    place: Place
    what: str

    def __str__(self) -> str:
        """`file:line:column: path: what is wrong`, with the line underneath and a caret under the column."""
        place = self.place
        path = f"{place.path}: " if place.path else ""
        head = f"{place.file}{f':{place.line}:{place.column}' if place.line else ''}: {path}{self.what}"
        if not place.source.strip():
            return head
        start = max(0, place.column - _WIDTH + 20)
        visible = [_printable(character) for character in place.source[start : start + _WIDTH]]
        caret = "".join(_blank(character) for character in visible[: place.column - 1 - start])
        margin = f"{place.line:>5} | "
        return f"{head}\n{margin}{''.join(visible)}\n{' ' * (len(margin) - 2)}| {caret}^"


def dotted(path: KeyPath) -> str:
    """`("rules", 3, "bits")` as `rules[3].bits`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def meant(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` is most likely a misspelling of."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, n=1)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?`, or nothing when no known name is close."""
    name = meant(word, known)
    return f"; did you mean `{name}`?" if name else ""


def shown(value: object) -> str:
    """A value as it is quoted in a message: short, on one line."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "keys with values"
        case list() | tuple():
            return "a list"
        case str():
            text = "".join(_printable(character) for character in value)
            return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"
        case _:
            return str(value)[:60]


def _printable(character: str) -> str:
    return character if character.isprintable() or character == "\t" else "\N{REPLACEMENT CHARACTER}"


def _blank(character: str) -> str:
    """Whitespace as wide as `character`, so that the caret stands under its column."""
    if character == "\t":
        return "\t"
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "
