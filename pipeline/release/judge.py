"""Whether the evidence is good enough for what was asked: nothing is measured here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.release.change import Change, Unknown, from_base
from pipeline.release.metrics import KL, TOP1, number, problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.evidence import Evidence
    from pipeline.release.limits import Unit
    from pipeline.release.schema import Thresholds, Waiver

# What an amount may pass its limit by, since ratios are computed.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Verdict:
    """One threshold in words: what was asked, what was measured, and why it passed or not.

    waived: why it may be missed; empty unless it was.
    """

    threshold: str
    asked: str
    measured: str
    passed: bool
    why: str
    waived: str = ""

    @property
    def outcome(self) -> Literal["pass", "waived", "miss"]:
        return "pass" if self.passed else "waived" if self.waived else "miss"


class Footprint(Protocol):
    """What is known of a result without measuring: bytes of its weights, and of these with their cache."""

    @property
    def nbytes(self) -> int: ...

    def memory(self, context: int) -> int | None: ...


@dataclass(frozen=True)
class Case:
    """All that is judged; earlier: the change of perplexity since the release that the thresholds name."""

    evidence: Evidence
    footprint: Footprint | None
    earlier: Change | Unknown


def judge(
    thresholds: Thresholds,
    evidence: Evidence,
    *,
    footprint: Footprint | None = None,
    earlier: Change | Unknown | None = None,
    waivers: Iterable[Waiver] = (),
) -> tuple[Verdict, ...]:
    """A verdict for each threshold that was asked for; without a comparable measurement it failed."""
    case = Case(evidence, footprint, earlier or Unknown(f"nothing is known of {thresholds.against}"))
    reasons: dict[str, str] = {waiver.threshold: waiver.why for waiver in waivers}
    verdicts = {key: judgement(thresholds, case) for key, judgement in JUDGEMENTS.items()}
    return tuple(
        verdict if verdict.passed else replace(verdict, waived=reasons.get(key, ""))
        for key, verdict in verdicts.items()
        if verdict
    )


def _perplexity_increase(thresholds: Thresholds, case: Case) -> Verdict | None:
    limit = thresholds.perplexity_increase
    if limit is None:
        return None
    against = "the base" if thresholds.against == "base" else thresholds.against
    name, asked = "perplexity increase", f"at most {limit} over {against}"
    change = from_base(case.evidence) if thresholds.against == "base" else case.earlier
    if isinstance(change, Unknown):
        return Verdict(name, asked, "nothing", passed=False, why=change.why)
    amount = {"%": change.share, "points": change.points, "errors": change.errors}[limit.unit]
    measured = _measured(change, limit.unit)
    if amount is None:
        unknown = "error of the difference" if limit.unit == "errors" else f"perplexity of {against} on the same tokens"
        return Verdict(name, asked, measured, passed=False, why=f"the {unknown} is not known")
    passed = amount <= limit.amount + _ROUNDING
    why = f"{_amount(amount, limit.unit)} is {'within' if passed else 'more than'} {limit}"
    return Verdict(name, asked, measured, passed, why)


def _divergence(key: str, thresholds: Thresholds, case: Case) -> Verdict | None:
    limit: float | None = getattr(thresholds, key)
    if limit is None:
        return None
    metric = {**KL, "top1": TOP1}[key]
    lower, words = metric.better == "lower", _percent if metric.unit == "share" else _nats
    name, asked = metric.name, f"at {'most' if lower else 'least'} {words(limit)}"
    found = case.evidence.find("divergence", "quantized")
    value = number(found.values, key) if found else None
    if value is None:
        why = f"the evidence holds no finite {name}" if found else "the divergence from the base was not measured"
        return Verdict(name, asked, "nothing", passed=False, why=why)
    passed = value <= limit if lower else value >= limit
    why = (
        f"{words(value)} is {asked}"
        if passed
        else f"{words(value)} is {'more' if lower else 'less'} than {words(limit)}"
    )
    return Verdict(name, asked, words(value), passed, why)


def _generation(thresholds: Thresholds, case: Case) -> Verdict | None:
    if not thresholds.generation:
        return None
    asked = "every answer is readable, ends and does not loop"
    return _check(case, "generation", asked, "every answer was as asked", "the quantized model was not asked anything")


def _serving(thresholds: Thresholds, case: Case) -> Verdict | None:
    wanted = thresholds.serving
    if wanted is False or (wanted is None and case.evidence.find("serving", "quantized") is None):
        return None
    asked = "it answers through `mlx_lm.server` as the card says"
    return _check(case, "serving", asked, "the server answered", "nobody asked it through `mlx_lm.server`")


def _check(case: Case, measure: str, asked: str, good: str, missing: str) -> Verdict:
    found = case.evidence.find(measure, "quantized")
    if found is None:
        return Verdict(measure, asked, "nothing", passed=False, why=missing)
    wrong = problems(found.values)
    if not wrong:
        return Verdict(measure, asked, "no problem", passed=True, why=good)
    listed = found.values.get("problems")
    measured = "failed" if not listed else "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems"
    return Verdict(measure, asked, measured, passed=False, why="; ".join(wrong))


def _size(thresholds: Thresholds, case: Case) -> Verdict | None:
    if thresholds.size is None:
        return None
    found = case.footprint.nbytes if case.footprint else None
    return _bytes("size", thresholds.size, found, "of weights", "the size of the weights is not known")


def _memory(thresholds: Thresholds, case: Case) -> Verdict | None:
    limit = thresholds.memory
    if limit is None:
        return None
    found = case.footprint.memory(limit.context) if case.footprint else None
    what = f"of weights and cache with {limit.context:,} tokens read"
    return _bytes("memory", limit.nbytes, found, what, "how much the cache takes is not known for this architecture")


def _bytes(name: str, limit: int, found: int | None, what: str, unknown: str) -> Verdict:
    """To the byte, because a budget may be missed by little."""
    asked = f"at most {limit:,} bytes {what}"
    if found is None:
        return Verdict(name, asked, "nothing", passed=False, why=unknown)
    over = found - limit
    why = f"{over:,} {'byte' if over == 1 else 'bytes'} too many" if over > 0 else f"{-over:,} bytes to spare"
    return Verdict(name, asked, f"{found:,} bytes", over <= 0, why)


JUDGEMENTS: Mapping[str, Callable[[Thresholds, Case], Verdict | None]] = {
    "perplexity_increase": _perplexity_increase,
    "kl_mean": partial(_divergence, "kl_mean"),
    "kl_p99": partial(_divergence, "kl_p99"),
    "top1": partial(_divergence, "top1"),
    "generation": _generation,
    "serving": _serving,
    "size": _size,
    "memory": _memory,
}


def _measured(change: Change, unit: Unit) -> str:
    """The change in the unit that was asked for, what it is as a share with its error, and the two perplexities."""
    share = _amount(change.share, "%") + (f" ± {_percent(change.error)}" if change.error is not None else "")
    asked = {"%": None, "points": change.points, "errors": change.errors}[unit]
    parts = [share] if asked is None else [_amount(asked, unit), share]
    if change.before is not None:
        parts.append(f"{change.before * change.ratio:.3f} against {change.before:.3f}")
    return parts[0] + (f" ({', '.join(parts[1:])})" if parts[1:] else "")


def _amount(amount: float, unit: Unit) -> str:
    return _percent(amount, signed=True) if unit == "%" else f"{amount:+.2f} {unit}"


def _percent(share: float, *, signed: bool = False) -> str:
    """With two decimals at most, and none from a thousand upwards."""
    places = 0 if abs(share) >= 10 else 2
    text = f"{share * 100:{'+' if signed else ''},.{places}f}"
    return (text.rstrip("0").rstrip(".") if places else text) + " %"


def _nats(amount: float) -> str:
    return f"{amount:.4g} nats"
