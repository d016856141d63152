"""What a pull request does to cards, as one comment: every card that it touches, each in its share of the room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card.escape import plain, quote
from pipeline.card.github_comment import LIMIT, comment, defused, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.card.changes import Diff

MARKER = "<!-- pipeline: the cards of this pull request -->"
"""The first line of the comment, by which it is found to be written anew."""

# Bytes: below the first a card is left out, and the second is kept for the sentence that says so.
_LEAST = 1000
_SENTENCE = 100


@dataclass(frozen=True)
class Touched:
    """A card that differs from before or from what its inputs render; problem: why it cannot stay so, "" if it can.

    diff: None for a card that cannot be rendered.
    """

    name: str
    problem: str
    diff: Diff | None


def page(touched: Sequence[Touched], limit: int = LIMIT) -> str:
    """Markdown of at most `limit` bytes; the room that one card leaves is there for the next.

    Where there would be too little for each, some are left out whole, those without a problem first.
    """
    head = f"{MARKER}\n## Model cards\n"
    room = limit - size(head) - _SENTENCE
    urgent = sorted(range(len(touched)), key=lambda number: not touched[number].problem)
    kept = sorted(urgent[: max(0, room // _LEAST)])
    sections: list[str] = []
    for done, number in enumerate(kept):
        share = room // (len(kept) - done)
        section = f"\n{_section(touched[number], share - 1)}"
        if size(section) <= share:
            sections.append(section)
            room -= size(section)
    left_out = len(touched) - len(sections)
    more = (
        f"\n{left_out:,} more {'card is' if left_out == 1 else 'cards are'} left out here: a comment holds no more.\n"
    )
    return "".join([head, *sections, more if left_out else ""])


def _section(one: Touched, room: int) -> str:
    heading = "" if one.diff else f"### {defused(plain(one.name))}: no card\n\n"
    # A character takes up to four bytes, escaped or broken into lines as it is.
    said = f"> [!WARNING]\n{defused(quote(one.problem, room // 6, code_spans=True))}\n\n" if one.problem else ""
    warning = heading + said
    return warning + (comment(one.diff, room - size(warning)) if one.diff else "")
