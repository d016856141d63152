"""What changed between two states of a card: by evidence, lock and front matter, not by its Markdown."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.card import front_matter
from pipeline.card.changelog import SECTION
from pipeline.card.changes import Change, Diff, presence, worst_first
from pipeline.card.escape import prose
from pipeline.card.figure_changes import EvidenceChanges, evidence_changes
from pipeline.card.leaves import differing, leaves
from pipeline.card.lock_changes import fact_changes, reason_changes, reasons, size_changes
from pipeline.card.word_diff import card_words
from pipeline.errors import PipelineError
from pipeline.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.card.changes import Words
    from pipeline.card.snapshot import Snapshot
    from pipeline.lock import Lock
    from pipeline.manifest import Json

    CardOf = Callable[[Evidence, Lock, Mapping[str, Evidence]], str]


def differs(committed: str, rendered: str, names: tuple[str, str] = ("committed", "rendered")) -> str:
    """A unified diff, committed to rendered; empty exactly when both are equal."""
    if committed == rendered:
        return ""
    # Split at newlines only: `splitlines` would also break at characters that a card may hold inside a line.
    before, after = (text.split("\n") for text in (committed, rendered))
    return "\n".join(difflib.unified_diff(before, after, *names, lineterm="")) + "\n"


def diff(name: str, old: Snapshot, new: Snapshot, card_of: CardOf | None = None) -> Diff:
    """From `old` to `new`.

    card_of: the new card as other evidence and another lock would make it. Made from the old ones, all in which it
    differs from the old card are words and front matter, and nothing of it repeats a figure. Without it, lines with
    digits are taken for repeating one, but for those that a person wrote of what changed.
    """
    remarks = [*old.remarks, *new.remarks]
    found = EvidenceChanges((), (), ())
    if old.evidence is not None and new.evidence is not None:
        found = evidence_changes(_with_siblings(old, new), _with_siblings(new, old))
    elif old.evidence is not None or new.evidence is not None:
        remarks.append(f"no evidence in {(old if old.evidence is None else new).label}: figures are not compared")
    sizes: tuple[Change, ...] = ()
    facts: tuple[Change, ...] = ()
    whys: tuple[Words, ...] = ()
    if old.lock and new.lock:
        try:
            sizes = tuple(size_changes(old.lock, new.lock))
            facts = tuple(fact_changes(old.lock, new.lock))
            whys = tuple(reason_changes(old.lock, new.lock))
        except (AttributeError, TypeError, ValueError):  # others wrote it, and its values are of no use
            remarks.append(f"the lock in {old.label} is broken: sizes and the recipe are not compared")
    elif old.lock or new.lock:
        remarks.append(f"no lock in {(new if old.lock else old).label}: sizes and the recipe are not compared")
    fields: tuple[Change, ...] = ()
    words: tuple[Words, ...] = ()
    unified = ""
    if old.card is None or new.card is None:
        if old.card or new.card:
            remarks.append(f"no card in {(new if old.card else old).label}: words are not compared")
    else:
        unified = differs(old.card, new.card, (old.label, new.label))
        fields, words = _of_cards(old, new, card_of)
    return Diff(
        name,
        old.label,
        new.label,
        figures=worst_first(found.figures),
        settings=worst_first(found.settings),
        sizes=worst_first(sizes),
        facts=worst_first(facts),
        front_matter=worst_first(fields),
        words=(*words, *found.words, *whys),
        unified=unified,
        remarks=tuple(remarks),
    )


def _of_cards(old: Snapshot, new: Snapshot, card_of: CardOf | None) -> tuple[tuple[Change, ...], tuple[Words, ...]]:
    """Their front matter key by key, and their words."""
    (before, body), (after, other) = _opened(old.card or ""), _opened(new.card or "")
    card_of = None if old.another else card_of
    siblings = {**new.siblings, **old.siblings}
    with_figures = _steady(card_of, old.evidence, new.lock, siblings)
    with_both = _steady(card_of, old.evidence, old.lock or new.lock, siblings)
    if with_figures:
        after = with_figures[0]
    elif old.evidence and new.evidence:
        before, after = _without_results(before), _without_results(after)
    fields = differing(before, after).items()
    if with_both:
        words = card_words(body, with_both[1])
    else:
        told = _told(old.lock, new.lock)
        words = card_words(_wordy(body, told), _wordy(other, told))
    return tuple(Change(path, presence(one, two), one, two) for path, (one, two) in fields), words


def _without_results(fields: dict[str, Json]) -> dict[str, Json]:
    return {path: value for path, value in fields.items() if not path.startswith("model-index.results.")}


def _with_siblings(side: Snapshot, other: Snapshot) -> Evidence:
    """Its own evidence and that of the siblings that both sides know, as that of other models."""
    found = list(side.evidence.measurements if side.evidence else ())
    for name in sorted(side.siblings.keys() & other.siblings.keys()):
        own = side.siblings[name].measurements
        found += [replace(one, subject=name) for one in own if one.subject == "quantized"]
    return Evidence(tuple(found))


def _steady(
    card_of: CardOf | None, evidence: Evidence | None, lock: Lock | None, siblings: Mapping[str, Evidence]
) -> tuple[dict[str, Json], str] | None:
    """The new card with the old figures; None where it cannot be made."""
    if card_of is None or evidence is None or lock is None:
        return None
    try:
        return _opened(card_of(evidence, lock, siblings))
    except (PipelineError, KeyError, TypeError, ValueError, ZeroDivisionError):
        # Templates and readers of today need not understand the evidence of years ago.
        return None


def _opened(card: str) -> tuple[dict[str, Json], str]:
    """Front matter as leaves, and the body; all is body where there is no front matter that can be read."""
    try:
        fields, body = front_matter.parse(card)
    except PipelineError:
        return {}, card
    return leaves(dict(fields)), body


def _told(old: Lock | None, new: Lock | None) -> frozenset[str]:
    """The lines of both cards that say why, whose changes are told rule by rule."""
    if old is None or new is None:
        return frozenset()
    try:
        return frozenset(prose(why) for lock in (old, new) for why in reasons(lock).values())
    except (AttributeError, TypeError, ValueError):  # others wrote it
        return frozenset()


def _wordy(body: str, told: frozenset[str]) -> str:
    """Title, summary and changelog, and every other line without a digit, which could repeat a figure."""
    lines = body.split("\n")
    first = next((number for number, line in enumerate(lines) if line.startswith("# ")), 0)
    summary = next((number for number, line in enumerate(lines) if number > first and line.strip()), first)
    section, kept = "", []
    for number, line in enumerate(lines):
        section = line[3:].strip() if line.startswith("## ") else section
        repeats = any(character.isdigit() for character in line) or line.lstrip().startswith("|")
        if number in {first, summary} or section == SECTION or not (repeats or line.strip() in told):
            kept.append(line)
    return "\n".join(kept)
