"""What changed from one evidence to another: every value, how it was measured, and every text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.card.changes import Change, Words, presence, relative
from pipeline.card.leaves import differing, leaves
from pipeline.card.word_diff import is_prose, word_diff
from pipeline.evidence import HARNESS, identity
from pipeline.release import change
from pipeline.release.comparable import why_not
from pipeline.release.metrics import KL, PERPLEXITY, TOP1, Figure, Metric, figures, judged, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.card.changes import Verdict
    from pipeline.evidence import Evidence, Measurement
    from pipeline.manifest import Json


# Between two releases it says what perplexity says; on the card it is the difference from the base.
LOSS_DIFFERENCE = Metric("loss difference from the base", "lower", "nats", "loss_difference_error")
_DIVERGENCE = {**KL, "top1": TOP1, "loss_difference": LOSS_DIFFERENCE}
_FIGURES: Mapping[str, frozenset[str]] = {
    "perplexity": frozenset({"perplexity", PERPLEXITY.error}),
    "divergence": frozenset({*_DIVERGENCE, *(metric.error for metric in _DIVERGENCE.values())}),
    "weight_error": frozenset({"all", "classes"}),
    "generation": frozenset({"passed"}),
    "serving": frozenset({"passed"}),
}
_SPEEDS = frozenset({"tokens", "tokens_per_second", "deviation", "peak_memory"})
# By which of its values a row of a measurement is known from one evidence to the next.
_KEYS = ("prompt", "conversation", "tokens")


@dataclass(frozen=True)
class EvidenceChanges:
    figures: tuple[Change, ...]
    settings: tuple[Change, ...]
    words: tuple[Words, ...]


def evidence_changes(old: Evidence, new: Evidence) -> EvidenceChanges:
    found: list[Change] = []
    words: list[Words] = []
    settings: dict[str, tuple[Change, list[str]]] = {}
    for before, after in _partners(old, new):
        found += _figures(before, after)
        if before is None or after is None:
            continue
        for setting in _settings(before, after):
            same = json.dumps([setting.what, setting.old, setting.new])
            settings.setdefault(same, (setting, []))[1].append(_name(after))
        others = list(_others(before, after))
        found += [other for other in others if isinstance(other, Change)]
        words += [other for other in others if isinstance(other, Words)]
    noted = tuple(replace(setting, note=_listed(names)) for setting, names in settings.values())
    return EvidenceChanges(tuple(found), noted, tuple(words))


def _partners(old: Evidence, new: Evidence) -> Iterator[tuple[Measurement | None, Measurement | None]]:
    """Every measurement with the one that was taken most alike of the same model; alone where there is none."""
    left, right = list(old.measurements), list(new.measurements)
    for alike in (_taken_alike, _comparable, _by_one_program, _of_one_model):
        # Only those of one measure and model are tried on each other, so that much evidence does not take long.
        waiting: dict[tuple[str, str], list[Measurement]] = {}
        for after in right:
            waiting.setdefault((after.measure, after.subject), []).append(after)
        for before in list(left):
            candidates = waiting.get((before.measure, before.subject), [])
            partner = next((after for after in candidates if alike(before, after)), None)
            if partner:
                candidates.remove(partner)
                left.remove(before)
                right.remove(partner)
                yield before, partner
    yield from ((before, None) for before in left)
    yield from ((None, after) for after in right)


def _taken_alike(before: Measurement, after: Measurement) -> bool:
    return before.source == after.source and identity(before) == identity(after)


def _comparable(before: Measurement, after: Measurement) -> bool:
    return not why_not(after, before)


def _by_one_program(before: Measurement, after: Measurement) -> bool:
    return before.harness == after.harness


def _of_one_model(before: Measurement, after: Measurement) -> bool:
    return (before.measure, before.subject) == (after.measure, after.subject)


def _name(measurement: Measurement, figure: str = "") -> str:
    """What was measured of which model, and by which program where that is another one."""
    subject = "" if measurement.subject == "quantized" else measurement.subject
    program = "" if measurement.harness == HARNESS else measurement.harness
    parts = (figure or measurement.measure.replace("_", " "), subject, program)
    return ", ".join(part for part in parts if part)


def _listed(names: Sequence[str]) -> str:
    short = list(dict.fromkeys(names))
    more = f" and {len(short) - 4} more" if len(short) > 4 else ""
    return "; ".join(short[:4]) + more


def _figures(before: Measurement | None, after: Measurement | None) -> Iterator[Change]:
    known = before or after
    if known is None:
        return
    old, new = _by_name(before), _by_name(after)
    if not old and not new and (before is None or after is None):
        yield Change(_name(known), "added" if after else "REMOVED")
    alike = bool(before and after and _may_be_compared(before, after))
    for name, figure in {**old, **new}.items():
        one, other = old.get(name), new.get(name)
        (value, error), (other_value, other_error) = (
            (side.value, side.error) if side else (None, None) for side in (one, other)
        )
        unit = figure.metric.unit
        ratio = None if unit == "problems" else relative(value, other_value)
        row = Change(_name(known, name), "changed", value, other_value, unit, error, other_error, ratio)
        if one is None or other is None:
            yield replace(row, verdict=presence(row.old, row.new))
        elif (one.value, one.error) != (other.value, other.error):
            yield _judged(row, one, other, (before, after), alike=alike)


def _may_be_compared(before: Measurement, after: Measurement) -> bool:
    """A figure compares with the one that stood in its place, even where nobody knows how the two were taken."""
    if _taken_alike(before, after):
        return before.values.get("tokens") == after.values.get("tokens")
    return not why_not(after, before)


def _judged(
    row: Change, one: Figure, other: Figure, pair: tuple[Measurement | None, Measurement | None], *, alike: bool
) -> Change:
    if not alike:
        return replace(row, comparable=False, note="measured otherwise")
    if one.value == other.value:
        return replace(row, note="its error")
    metric, difference = other.metric, other.value - one.value
    error = math.hypot(one.error, other.error) if one.error is not None and other.error is not None else None
    word = judged(metric, difference, error)
    before, after = pair
    if metric is PERPLEXITY and before and after:
        changed = change.between(before, after)
        word = changed.word if isinstance(changed, change.Change) else word
    if word == "within error":
        return replace(row, verdict="within error")
    verdict: Verdict = "better" if (difference < 0) == (metric.better == "lower") else "worse"
    return replace(row, verdict=verdict, note="" if error is not None or metric.exact else "error unknown")


def _by_name(measurement: Measurement | None) -> dict[str, Figure]:
    """Figures that have one name, of which there should be none, are told apart by their number."""
    found: dict[str, Figure] = {}
    for figure in _all(measurement) if measurement else ():
        name = figure.name
        while name in found:
            name += " again"
        found[name] = figure
    return found


def _all(measurement: Measurement) -> Iterator[Figure]:
    yield from figures(measurement)
    value = number(measurement.values, "loss_difference") if measurement.measure == "divergence" else None
    if value is not None:
        yield Figure(LOSS_DIFFERENCE, LOSS_DIFFERENCE.name, value, number(measurement.values, LOSS_DIFFERENCE.error))


def _settings(before: Measurement, after: Measurement) -> Iterator[Change]:
    for path, (old, new) in differing(_how(before), _how(after)).items():
        yield Change(path, "changed", old, new)


def _how(measurement: Measurement) -> dict[str, Json]:
    """All that stands beside the values, but for the time and the digest, which the lock has too."""
    beside: dict[str, Json] = {
        "tools": dict(measurement.tools),
        "machine": dict(measurement.machine),
        "source": measurement.source,
    }
    return leaves({**measurement.settings, **beside})


def _others(before: Measurement, after: Measurement) -> Iterator[Change | Words]:
    """Values that no metric knows, such as counts, and what was said."""
    old, new = (leaves(dict(one.values), _KEYS) for one in (before, after))
    differ = {path: pair for path, pair in differing(old, new).items() if not _is_figure(after.measure, path)}
    for path, (one, other) in differ.items():
        if _repeats(path, differ, after):
            continue
        texts = _text(one), _text(other)
        what = _what(after, path)
        if any(is_prose(text) for text in texts):
            yield Words(what, presence(one, other), word_diff(*texts))
        else:
            yield Change(what, presence(one, other), one, other)


def _is_figure(measure: str, path: str) -> bool:
    if measure == "speed":
        return path.startswith(("prompt.", "generation.")) and path.rpartition(".")[2] in _SPEEDS
    return path in _FIGURES.get(measure, ()) or (measure == "weight_error" and path.startswith("classes."))


def _repeats(path: str, differ: Mapping[str, object], after: Measurement) -> bool:
    """Whether another value says the same: the length of a text, a problem that is listed above, a ratio."""
    row, _, key = path.rpartition(".")
    if path == "perplexity_ratio":
        ratio, nats = number(after.values, path), number(after.values, "loss_difference")
        return ratio is not None and nats is not None and math.isclose(ratio, math.exp(nats), rel_tol=1e-9)
    if row.startswith("transcripts."):
        return (key == "tokens" and f"{row}.text" in differ) or (key == "problems" and "problems" in differ)
    return False


def _what(measurement: Measurement, path: str) -> str:
    row, _, key = path.rpartition(".")
    if row.startswith("transcripts.") and key == "text":
        return f"answer to “{row.removeprefix('transcripts.')}”"
    return _name(measurement, f"{measurement.measure.replace('_', ' ')}: {path.replace('_', ' ')}")


def _text(value: Json) -> str:
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return "" if value is None else str(value)
