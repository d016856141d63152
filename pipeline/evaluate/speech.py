"""What is wrong with an answer by its looks alone: empty, in a loop, or no language.

The limits come from greedy answers of SmolLM2-135M-Instruct, unquantized and in 8, 6, 5 and 2 bits: those that a person
would accept repeat at most 0.23 of their runs of four tokens, those in a loop 0.44 and more; 68 % and more of their
characters are letters, and their words have 3 to 7 of them. Two bits give whole words in no order, which no look at the
text finds out, but then no end comes either.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_RUN = 4
_REPEATED = 0.4
_LINES = 4
_ROUNDS, _ROUNDS_LENGTH = 3, 24
_WRITTEN = 0.5
_WORD_LENGTH = (2, 12)
_ENOUGH = 40  # of tokens, or of characters: shares of less say nothing


def problems(text: str, ids: Sequence[int]) -> Iterator[str]:
    """Each fault of an answer in words; `ids` are its tokens without the stop token."""
    if not text.strip():
        yield "is empty"
        return
    yield from _loops(text, ids)
    yield from _garbage(text)


def _loops(text: str, ids: Sequence[int]) -> Iterator[str]:
    line, times = _most_frequent_line(text)
    rounds = _last_rounds(ids)
    repeated = _repeated(ids)
    if times >= _LINES:
        yield f"says the line {line!r} {times} times"
    elif rounds:
        yield f"ends in a loop of {rounds} rounds"
    elif repeated > _REPEATED:
        yield f"goes round in circles: {repeated:.0%} of it was said before"


def _most_frequent_line(text: str) -> tuple[str, int]:
    """Lines that differ in their numbers only, as in a list without end, are the same; lines without words are none."""
    lines = [re.sub(r"\d+", "#", line.strip()) for line in text.splitlines()]
    counted = Counter(line for line in lines if re.search(r"[^\W\d_]{3}", line))
    return counted.most_common(1)[0] if counted else ("", 0)


def _last_rounds(ids: Sequence[int]) -> int:
    """How often the last tokens say the same in immediate succession; 0 when too little for a loop."""
    for period in range(1, len(ids) // _ROUNDS + 1):
        same = 0
        while same + period < len(ids) and ids[-1 - same] == ids[-1 - same - period]:
            same += 1
        length = same + period
        if length >= max(_ROUNDS * period, _ROUNDS_LENGTH):
            return length // period
    return 0


def _repeated(ids: Sequence[int]) -> float:
    """The share of runs of four tokens that came before."""
    runs = Counter(zip(*(ids[start:] for start in range(_RUN)), strict=False))
    return 1 - len(runs) / runs.total() if runs.total() >= _ENOUGH else 0.0


def _garbage(text: str) -> Iterator[str]:
    kinds = Counter(unicodedata.category(character) for character in text if not character.isspace())
    if unreadable := text.count("\N{REPLACEMENT CHARACTER}") + sum(kinds[kind] for kind in ("Cc", "Cn", "Co", "Cs")):
        yield f"has {unreadable} characters that are no text"
    written = sum(count for kind, count in kinds.items() if kind[0] in "LMN")
    if kinds.total() >= _ENOUGH and written < _WRITTEN * kinds.total():
        yield f"is hardly words: {written / kinds.total():.0%} of it are letters and digits"
    # Only where words are written apart, with letters of which each is a sound.
    words = re.findall(r"[A-Za-z\u00c0-\u052f]+", text)
    mean = sum(map(len, words)) / len(words) if words else 0
    if sum(map(len, words)) >= _ENOUGH and not _WORD_LENGTH[0] <= mean <= _WORD_LENGTH[1]:
        yield f"has words of {mean:.0f} letters on average"
