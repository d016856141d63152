"""How one text became another, word by word, and which sentences of a card are others than before."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from pipeline.card.changes import Part, Words, presence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

_NEAR = 8
"""Words that are kept beside what changed."""
_MOST = 1000
"""Words of a text, and changed lines of a card, that are compared: hardly ever are more, and it takes their square."""
_WORD = re.compile(r"\S+\s*")
_HEADING = re.compile(r"(#{1,6}) +(.*)")
# As a reader of the card sees it: `Q4\_1` is Q4_1.
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
# The recipe, whose changes are told rule by rule.
_RECIPE = re.compile(r"`+ya?ml")
_RULE = re.compile(r"[|:\s-]+")


def is_prose(text: str) -> bool:
    """Whether it is read word by word, unlike a name or a digest."""
    return len(text.split()) > 3


def word_diff(old: str, new: str) -> tuple[Part, ...]:
    """Parts of which those that are the same, with either the removed or the added ones, give the old or the new text.

    Only what is far from every change is left out, which an ellipsis stands for, and what comes after `_MOST` words.
    """
    before, after = (_words(text) for text in (old, new))
    # What differs only in the space behind a word is the same.
    matcher = SequenceMatcher(None, [w.rstrip() for w in before], [w.rstrip() for w in after])
    parts: list[Part] = []
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind == "equal":
            parts.append(("same", "".join(after[other_start:other_end])))
            continue
        if end > start:
            parts.append(("removed", "".join(before[start:end])))
        if other_end > other_start:
            parts.append(("added", "".join(after[other_start:other_end])))
    last = len(parts) - 1
    return tuple(_shortened(part, first=not number, last=number == last) for number, part in enumerate(parts))


def card_words(old: str, new: str) -> tuple[Words, ...]:
    """Changed lines of two card bodies, each named by the section that it stands in.

    Of what lies between the first and the last change only `_MOST` lines are compared; of others it is said that they
    are not the same.
    """
    every, others = (_lines(body) for body in (old, new))
    start = _alike(every, others)
    behind = _alike(every[start:][::-1], others[start:][::-1])
    between, others_between = (lines[start : len(lines) - behind] for lines in (every, others))
    before, after = between[:_MOST], others_between[:_MOST]
    matcher = SequenceMatcher(None, before, after)
    found: list[Words] = []
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind != "equal":
            found += _changed(before[start:end], after[other_start:other_end])
    if between[_MOST:] != others_between[_MOST:]:
        rest: Part = ("same", f"{ELLIPSIS} more lines are others, too many to be compared one by one")
        found.append(Words(f"after {_MOST:,} lines", "changed", (rest,)))
    return tuple(found)


def _alike(one: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> int:
    """How many lines both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _changed(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> Iterator[Words]:
    """Line by line where there are as many of them on both sides, as one text for each section otherwise."""
    if len(old) == len(new):
        pairs = [(section, line, other) for (_, line), (section, other) in zip(old, new, strict=True)]
    else:
        sections = dict.fromkeys(section for section, _ in (*old, *new))
        pairs = [(section, _joined(old, section), _joined(new, section)) for section in sections]
    for section, before, after in pairs:
        yield Words(section, presence(before or None, after or None), word_diff(before, after))


def _joined(lines: Sequence[tuple[str, str]], section: str) -> str:
    return "\n".join(line for of, line in lines if of == section)


def _lines(body: str) -> list[tuple[str, str]]:
    """Each line that says something with its section; how a table is padded says nothing."""
    found: list[tuple[str, str]] = []
    section, fence = "summary", ""
    for raw in body.split("\n"):
        line = _ESCAPED.sub(r"\1", " ".join(raw.split()))
        if line.startswith("```"):
            fence = "" if fence else line
            continue
        heading = None if fence else _HEADING.fullmatch(line)
        if heading and len(heading[1]) == 1:
            found.append(("title", heading[2]))
        elif line and not _RULE.fullmatch(line) and not _RECIPE.match(fence):
            section = heading[2] if heading else section
            found.append((section, heading[2] if heading else line))
            section = "opening" if section == "summary" else section
    return found


def _words(text: str) -> list[str]:
    words: list[str] = _WORD.findall(text)
    return [*words[:_MOST], *([ELLIPSIS] if len(words) > _MOST else [])]


def _shortened(part: Part, *, first: bool, last: bool) -> Part:
    kind, text = part
    words = _WORD.findall(text)
    before, after = 0 if first else _NEAR, 0 if last else _NEAR
    if kind != "same" or len(words) <= before + after + 1:
        return part
    ahead, behind = "".join(words[:before]), "".join(words[len(words) - after :])
    return kind, f"{ahead}{ELLIPSIS} {behind}" if behind else f"{ahead}{ELLIPSIS}"
