"""A diff as one comment on a pull request: it fits, holds what is worst, and calls nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card import wording
from pipeline.card.changes import ORDER
from pipeline.card.escape import Markdown, plain, visible
from pipeline.card.tables import cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.card.changes import Diff, Verdict, Words
    from pipeline.card.wording import Line

LIMIT = 65_536
"""Characters that GitHub takes in a comment. It is kept in bytes of UTF-8, of which there are never fewer."""

_CELL = 300
_TEXT = 1500
_HEAD = ("", "What", "Old", "New", "Change")
_ALIGN = "|:--|:--|--:|--:|:--|"
_BOLD = {"REMOVED", "worse"}
_LINE = 2000
_CLOSE = "\n</details>\n"
# Room for the sentences that say what was left out, and for headings.
_SPARE = 1500
_SHOWN = re.compile(r"[^ \t]+")
_INVISIBLE_SPACE = "\N{ZERO WIDTH SPACE}"
# What GitHub makes a link of, telling whoever it names: @somebody, #123, GH-123.
_CALLS = re.compile(r"@(?=\w)|#(?=\d)|\bgh-(?=\d)", re.IGNORECASE)


@dataclass(frozen=True)
class _Piece:
    """A row or a text, and the section that it belongs to."""

    section: str
    verdict: Verdict
    text: str


def marker(name: str) -> str:
    """An invisible line by which the comment on a release's card is found, to be written anew."""
    return f"<!-- pipeline card diff of {re.sub('[^A-Za-z0-9._]', '_', name)} -->"


def comment(diff: Diff, limit: int = LIMIT) -> str:
    """Markdown of at most `limit` bytes."""
    sides = f"From {_safe(diff.old, _CELL)} to {_safe(diff.new, _CELL)}."
    top = [marker(diff.name), f"### {_safe(wording.headline(diff), _CELL)}", sides]
    top += _remarks(diff, (limit - size("".join(top))) // 3)
    head = "\n\n".join(top) + "\n"
    tables = wording.tables(diff).items()
    pieces = [_Piece(section, line.verdict, _row(line)) for section, lines in tables for line in lines]
    pieces += [_Piece("Words", words.verdict, _words(words)) for words in diff.words]
    kept = _fitting(pieces, limit - size(head) - _SPARE)
    body = head + "".join(_section(name, pieces, kept) for name in dict.fromkeys(piece.section for piece in pieces))
    return body + _unified(diff.unified, limit - size(body))


def defused(markdown: str) -> str:
    """Markdown that mentions nobody and refers to no issue."""
    return _CALLS.sub(rf"\g<0>{_INVISIBLE_SPACE}", markdown)


def _remarks(diff: Diff, room: int) -> list[str]:
    said = [_safe(remark, _CELL) for remark in wording.remarks(diff)]
    shown: list[str] = []
    for text in said[:10]:
        room -= size(text) + 2
        if room < 0:
            break
        shown.append(text)
    left_out = len(said) - len(shown)
    return [*shown, f"{left_out:,} more to remark {_is(left_out)} left out here."] if left_out else shown


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _fitting(pieces: Sequence[_Piece], room: int) -> set[int]:
    """The numbers of those that are shown: the worst of all sections before what is better."""
    kept: set[int] = set()
    for number in sorted(range(len(pieces)), key=lambda number: ORDER.index(pieces[number].verdict)):
        room -= size(pieces[number].text)
        if room < 0:
            break
        kept.add(number)
    return kept


def _section(name: str, pieces: Sequence[_Piece], kept: set[int]) -> str:
    mine = [number for number, piece in enumerate(pieces) if piece.section == name]
    shown = [pieces[number].text for number in mine if number in kept]
    left_out = len(mine) - len(shown)
    head = [f"\n#### {name}\n\n"]
    if shown and name != "Words":
        head.append(f"|{'|'.join(f' {text} ' for text in _HEAD)}|\n{_ALIGN}\n")
    sentence = f"\n{left_out:,} more {_is(left_out)} left out here: a comment holds no more.\n"
    return "".join([*head, *shown, sentence if left_out else ""])


def _row(line: Line) -> str:
    verdict = f"**{line.verdict}**" if line.verdict in _BOLD else line.verdict
    texts = (_safe(text, _CELL) for text in (line.what, line.old, line.new, line.change))
    return f"| {' | '.join(cell(Markdown(text)) for text in (verdict, *texts))} |\n"


def _words(words: Words) -> str:
    tags = {"same": ("", ""), "removed": ("<del>", "</del>"), "added": ("<ins>", "</ins>")}
    shown, room = [], _TEXT
    for kind, text in words.parts:
        opening, closing = tags[kind]
        if room > 0:
            shown.append(f"{opening}{_safe(text, room)}{closing}")
        room -= len(text)
    return f"- {words.verdict}, {_safe(words.what, _CELL)}: {' '.join(shown)}\n"


def _unified(unified: str, room: int) -> str:
    """The whole in a fence that nothing in it can close, cut at the end of a line."""
    if not unified:
        return ""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", unified)), default=0))
    opening = f"\n<details>\n<summary>Unified diff of the card</summary>\n\n{fence}diff\n"
    sentence = "\nThe rest of the diff is left out: a comment holds no more.\n"
    instead = "\nThe unified diff of the card is left out: a comment holds no more.\n"
    least = instead if size(instead) <= room else ""
    room -= size(opening) + size(fence) + size(sentence) + size(_CLOSE) + 8
    if room < 200:
        return least
    lines, shown = unified.rstrip("\n").split("\n"), []
    for line in lines:
        text = _SHOWN.sub(lambda found: visible(found.group()), line[:_LINE])
        room -= size(text) + 1
        if room < 0:
            break
        shown.append(text)
    cut = sentence if len(shown) < len(lines) else ""
    return f"{opening}{chr(10).join(shown)}\n{fence}\n{cut}{_CLOSE}"


def _safe(text: str, limit: int = _TEXT) -> str:
    """Anybody's text on one line, to be read only: no markup, no link, no mention."""
    return defused(plain(visible(text, limit)))


def size(text: str) -> int:
    """Bytes that count towards a limit."""
    return len(text.encode("utf-8", "replace"))
