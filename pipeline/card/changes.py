"""What a diff of two cards consists of: changes of values, each with a verdict, and changes of words."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.manifest import Json

Verdict = Literal["REMOVED", "worse", "changed", "added", "better", "within error"]
Part = tuple[Literal["same", "removed", "added"], str]

ORDER: tuple[Verdict, ...] = ("REMOVED", "worse", "changed", "added", "better", "within error")
"""Worst first: what a reviewer must not miss stands at the top."""
SCHEMA = 1


@dataclass(frozen=True)
class Change:
    """One value that is another than before.

    what: the value, in words; old, new: None where it is not there; unit: as metrics have it, or "text" for words,
    names and settings. old_error, new_error: one standard error each, None where that is not known.
    relative: how much more the new one is, as a share of the old one; None where that says nothing.
    comparable: False where the two were measured in different ways, so that neither is better.
    note: what else there is to say, a part of a sentence.
    """

    what: str
    verdict: Verdict
    old: Json = None
    new: Json = None
    unit: str = "text"
    old_error: float | None = None
    new_error: float | None = None
    relative: float | None = None
    comparable: bool = True
    note: str = ""


@dataclass(frozen=True)
class Words:
    """A text that is another than before, word by word; long parts that stayed the same are shortened."""

    what: str
    verdict: Verdict
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Diff:
    """name: of the release; old, new: where the two sides are from, in words.

    figures: what was measured; settings: how; sizes: bytes by tensor class and memory by context; facts: all else that
    the lock says; front_matter: key by key; words: sentences of the card and generated answers.
    unified: the unified diff of the two cards, empty when they are equal; remarks: what could not be compared and why.
    """

    name: str
    old: str
    new: str
    figures: tuple[Change, ...] = ()
    settings: tuple[Change, ...] = ()
    sizes: tuple[Change, ...] = ()
    facts: tuple[Change, ...] = ()
    front_matter: tuple[Change, ...] = ()
    words: tuple[Words, ...] = ()
    unified: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return (*self.figures, *self.settings, *self.sizes, *self.facts, *self.front_matter)

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many changes have each verdict, worst first; those that none has are left out."""
        found = Counter(change.verdict for change in self.changes) + Counter(words.verdict for words in self.words)
        return {verdict: found[verdict] for verdict in ORDER if found[verdict]}

    def to_json(self) -> dict[str, Json]:
        """Its keys are documented in docs/card-diff.md, and none of them is ever renamed."""
        return {
            "schema": SCHEMA,
            "release": self.name,
            "old": self.old,
            "new": self.new,
            "counts": {verdict: self.counts.get(verdict, 0) for verdict in ORDER},
            "figures": [_row(change) for change in self.figures],
            "settings": [_row(change) for change in self.settings],
            "sizes": [_row(change) for change in self.sizes],
            "facts": [_row(change) for change in self.facts],
            "front_matter": [_row(change) for change in self.front_matter],
            "words": [
                {"what": one.what, "verdict": one.verdict, "parts": [{kind: text} for kind, text in one.parts]}
                for one in self.words
            ],
            "remarks": list(self.remarks),
            "unified": self.unified,
        }


def _row(change: Change) -> dict[str, Json]:
    """Without what JSON does not know."""
    return {key: _json(value) for key, value in asdict(change).items()}


def _json(value: Json) -> Json:
    """What is no finite number becomes a text."""
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def worst_first(changes: Iterable[Change]) -> tuple[Change, ...]:
    """By verdict, then by how much changed; in their own order where that is the same."""
    return tuple(sorted(changes, key=lambda change: (ORDER.index(change.verdict), -abs(change.relative or 0))))


def presence(old: Json, new: Json) -> Verdict:
    """The verdict on a value that has no better or worse."""
    return "added" if old is None else "REMOVED" if new is None else "changed"


def relative(old: float | None, new: float | None) -> float | None:
    """None too where it is no number that says anything: of what was not above 0, or without end."""
    if old is None or new is None or old <= 0:
        return None
    try:
        found = new / old - 1
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
