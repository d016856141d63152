"""A diff in words: the lines and texts that a terminal, a comment and a page show in their own ways."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card import figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.card.changes import Change, Diff, Verdict
    from pipeline.manifest import Json

NOTHING = "\N{EM DASH}"
_HEX = re.compile(r"\b[0-9a-f]{40,}\b")
_SHORT = 12
_NAMED = {"nats", "tokens/s"}


@dataclass(frozen=True)
class Line:
    """A change as text, of which nothing is escaped yet; change: how much, and what else there is to say."""

    verdict: Verdict
    what: str
    old: str
    new: str
    change: str


def headline(diff: Diff) -> str:
    """`demo: 1 worse, 2 changed`."""
    counted = ", ".join(f"{count} {verdict}" for verdict, count in diff.counts.items())
    if not counted and diff.unified:
        counted = "only what repeats figures is another text"
    return f"{diff.name}: {counted or 'nothing changed'}"


def remarks(diff: Diff) -> tuple[str, ...]:
    return tuple(f"{remark[:1].upper()}{remark[1:]}." for remark in diff.remarks)


def tables(diff: Diff) -> Mapping[str, tuple[Line, ...]]:
    """By their headings, without empty ones."""
    found = {
        "Figures": diff.figures,
        "How they were measured": diff.settings,
        "Sizes": diff.sizes,
        "Recipe and files": diff.facts,
        "Front matter": diff.front_matter,
    }
    return {heading: tuple(map(line, changes)) for heading, changes in found.items() if changes}


def line(change: Change) -> Line:
    old, new = _texts(change)
    ratio = "" if change.relative is None else figures.percent(change.relative, sign=True)
    if not ratio.strip("+0. %" + figures.MINUS):
        ratio = ""
    what = f"{change.what}, {change.unit}" if change.unit in _NAMED else change.what
    return Line(change.verdict, what, old, new, ", ".join(part for part in (ratio, change.note) if part))


def _texts(change: Change) -> tuple[str, str]:
    """As exact as they are known, but never so that two values look alike."""
    old, new = (
        _text(value, error, change.unit)
        for value, error in ((change.old, change.old_error), (change.new, change.new_error))
    )
    if old != new:
        return old, new
    if change.unit == "bytes" and isinstance(change.old, int) and isinstance(change.new, int):
        return figures.byte_sizes(change.old, change.new)
    return _whole(change.old, change.old_error, change.unit), _whole(change.new, change.new_error, change.unit)


def _text(value: Json, error: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float) or unit == "text":
        return _HEX.sub(lambda found: found.group()[:_SHORT], plain(value))
    match unit:
        case "bytes":
            return figures.byte_size(round(value))
        case "problems":
            return "passed" if not value else "1 problem" if value == 1 else f"{value:.0f} problems"
        case "share":
            return figures.share(value, error or None)
        case _:
            # What was reported without an error is shown as it was reported.
            return figures.with_error(value, error) if error else f"{value:.6g}"


def _whole(value: Json, error: float | None, unit: str) -> str:
    """Every digit."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else plain(value)
    scale, sign = (100, " %") if unit == "share" else (1, " bytes" if unit == "bytes" else "")
    numbers = [value, *([error] if error else [])]
    return " ± ".join(f"{number * scale:.10g}" for number in numbers) + sign


def plain(value: Json) -> str:
    """A value of front matter, of a lock or of a setting, as it is written."""
    if isinstance(value, str):
        return value or "empty"
    if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        return ", ".join(plain(one) for one in value) or "none"
    return json.dumps(value, ensure_ascii=False)
