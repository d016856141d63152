"""What a pull request does to cards, as one comment: every card that it touches, each in its share of the room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card.escape import quote
from pipeline.card.github_comment import LIMIT, comment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.card.changes import Diff

MARKER = "<!-- pipeline: the cards of this pull request -->"
"""The first line of the comment, by which it is found to be written anew."""


@dataclass(frozen=True)
class Touched:
    """A card that differs from before or from what its inputs render; problem: why it cannot stay so, "" if it can.

    diff: None for a card that cannot be rendered.
    """

    name: str
    problem: str
    diff: Diff | None


def page(touched: Sequence[Touched], limit: int = LIMIT) -> str:
    """Markdown of about `limit` bytes at most; the room that one card leaves is there for the next."""
    head = f"{MARKER}\n## Model cards\n"
    parts, room = [head], limit - len(head)
    for number, one in enumerate(touched):
        parts.append(_section(one, room // (len(touched) - number)))
        room -= len(parts[-1].encode())
    return "\n".join(parts)


def _section(one: Touched, room: int) -> str:
    heading = "" if one.diff else f"### {one.name}: no card\n\n"
    warning = f"{heading}> [!WARNING]\n{quote(one.problem, room // 4, code_spans=True)}\n\n" if one.problem else ""
    return warning + (comment(one.diff, room - len(warning.encode())) if one.diff else "")
