"""Whether the evidence is good enough for what was asked: nothing is measured here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.evidence import Evidence, Measurement
    from pipeline.manifest import Json
    from pipeline.release.schema import Thresholds


@dataclass(frozen=True)
class Verdict:
    """One threshold in words: what was asked, what was measured, and why it passed or not."""

    threshold: str
    asked: str
    measured: str
    passed: bool
    why: str


def judge(thresholds: Thresholds, evidence: Evidence) -> tuple[Verdict, ...]:
    """A verdict for each threshold that was asked for; without a comparable measurement it failed."""
    verdicts = (judgement(thresholds, evidence) for judgement in JUDGEMENTS)
    return tuple(verdict for verdict in verdicts if verdict)


def _perplexity_increase(thresholds: Thresholds, evidence: Evidence) -> Verdict | None:
    limit = thresholds.perplexity_increase
    if limit is None:
        return None
    name, asked = "perplexity increase", f"at most {_percent(limit)} over the base"
    base, quantized = evidence.find("perplexity", "base"), evidence.find("perplexity", "quantized")
    if base is None or quantized is None:
        missing = " and ".join(
            subject for subject, found in (("base", base), ("quantized", quantized)) if found is None
        )
        return Verdict(
            name, asked, "nothing", passed=False, why=f"the perplexity of the {missing} model was not measured"
        )
    before, after = _perplexity(base), _perplexity(quantized)
    if before is None or after is None:
        return Verdict(name, asked, "nothing", passed=False, why="the evidence holds no finite perplexity")
    shown = f"{after:.3f} against {before:.3f}"
    if difference := _difference(base, quantized):
        return Verdict(name, asked, shown, passed=False, why=f"the two measurements are not comparable: {difference}")
    increase = after / before - 1
    passed = increase <= limit
    measured = f"{_percent(increase, signed=True)} ({shown})"
    why = f"{_percent(increase, signed=True)} is {'within' if passed else 'more than'} {_percent(limit)}"
    return Verdict(name, asked, measured, passed, why)


def _generation(thresholds: Thresholds, evidence: Evidence) -> Verdict | None:
    if not thresholds.generation:
        return None
    name, asked = "generation", "every answer is readable, ends and does not loop"
    found = evidence.find("generation", "quantized")
    if found is None:
        return Verdict(name, asked, "nothing", passed=False, why="the quantized model was not asked anything")
    listed = found.values.get("problems")
    problems = [str(problem) for problem in listed] if isinstance(listed, list) else []
    if found.values.get("passed") is True and not problems:
        return Verdict(name, asked, "no problem", passed=True, why="every answer was as asked")
    measured = "1 problem" if len(problems) == 1 else f"{len(problems)} problems" if problems else "failed"
    return Verdict(
        name, asked, measured, passed=False, why="; ".join(problems) or "the evidence does not say that it passed"
    )


JUDGEMENTS: tuple[Callable[[Thresholds, Evidence], Verdict | None], ...] = (
    _perplexity_increase,
    _generation,
)


def _perplexity(measurement: Measurement) -> float | None:
    value = measurement.values.get("perplexity")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def _difference(base: Measurement, quantized: Measurement) -> str:
    """How the two were measured differently, in words; empty when they were measured alike."""
    ours: Mapping[str, Json] = {**quantized.settings, "tokens": quantized.values.get("tokens")}
    theirs: Mapping[str, Json] = {**base.settings, "tokens": base.values.get("tokens")}
    keys = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    return ", ".join(f"{key} {_word(ours.get(key))} against {_word(theirs.get(key))}" for key in keys)


def _word(value: Json) -> str:
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."


def _percent(share: float, *, signed: bool = False) -> str:
    return f"{share * 100:{'+' if signed else ''}.2f}".rstrip("0").rstrip(".") + " %"
