"""How far one perplexity lies from another, and how sure that is: token by token where losses were kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.release import losses
from pipeline.release.comparable import on_other_tokens, why_not
from pipeline.release.metrics import PERPLEXITY, judged, number

if TYPE_CHECKING:
    from pipeline.evidence import Evidence, Measurement
    from pipeline.release.losses import Losses
    from pipeline.release.metrics import Word

# In nats: a log-sum-exp on a CPU is off by up to 0.00005 nats, and the two figures come from two passes.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Change:
    """From the perplexity `before`, None where it was not measured on these tokens, to `ratio` times as much.

    error: one standard error of the ratio; errors: the change in standard errors; None when they are not known.
    paired: the error is that of the difference token by token, clustered by window; otherwise the errors of the two
    figures are taken as independent, which says too much where both models read the same tokens.
    """

    before: float | None
    ratio: float
    error: float | None
    errors: float | None
    paired: bool

    @property
    def share(self) -> float:
        return self.ratio - 1

    @property
    def points(self) -> float | None:
        """The difference of the perplexities."""
        return None if self.before is None else self.before * self.share

    @property
    def points_error(self) -> float | None:
        return None if self.before is None or self.error is None else self.before * self.error

    @property
    def word(self) -> Word | None:
        return judged(PERPLEXITY, self.errors, 1) if self.errors else judged(PERPLEXITY, self.share, self.error)


@dataclass(frozen=True)
class Unknown:
    """Why nothing can be said about a change."""

    why: str


def from_base(evidence: Evidence) -> Change | Unknown:
    """How the perplexity of the quantized model differs from that of its base."""
    base, quantized = evidence.find("perplexity", "base"), evidence.find("perplexity", "quantized")
    divergence = evidence.find("divergence", "quantized")
    nats = number(divergence.values, "loss_difference") if divergence else None
    if divergence and nats is not None and not (base and on_other_tokens(divergence, base)):
        before = _perplexity(base) if base else None
        after = _perplexity(quantized) if quantized and not on_other_tokens(divergence, quantized) else None
        # Of one run they agree. If not, a figure was changed by hand, and no one can tell which.
        if before is None or after is None or abs(math.log(after) - math.log(before) - nats) <= _ROUNDING:
            return _paired(before, nats, number(divergence.values, "loss_difference_error"))
    if base is None or quantized is None:
        missing = " and ".join(
            subject for subject, found in (("base", base), ("quantized", quantized)) if found is None
        )
        return Unknown(f"the perplexity of the {missing} model was not measured")
    return _independent(base, quantized)


def between(
    earlier: Measurement, later: Measurement, kept: tuple[Losses | None, Losses | None] = (None, None)
) -> Change | Unknown:
    """How the perplexities of two releases differ; kept: the losses that each left."""
    change = _independent(earlier, later)
    before, after = kept
    if isinstance(change, Change) and before and after and before.belong_to(earlier) and after.belong_to(later):
        pair = losses.paired(before, after)
        return _paired(change.before, *pair) if pair else change
    return change


def _paired(before: float | None, nats: float, error: float | None) -> Change:
    ratio = math.exp(nats)
    if error == 0:
        return Change(before, ratio, 0.0, math.copysign(math.inf, nats) if nats else 0.0, paired=True)
    return Change(before, ratio, error and ratio * error, error and nats / error, paired=True)


def _independent(earlier: Measurement, later: Measurement) -> Change | Unknown:
    before, after = _perplexity(earlier), _perplexity(later)
    if before is None or after is None:
        return Unknown("the evidence holds no finite perplexity")
    if difference := why_not(later, earlier):
        return Unknown(f"the two measurements are not comparable: {difference}")
    errors = [number(measurement.values, "standard_error") for measurement in (earlier, later)]
    known = [error for error in errors if error is not None]
    error = math.hypot(*known) if len(known) == 2 else None
    return Change(before, after / before, error and error / before, error and (after - before) / error, paired=False)


def _perplexity(measurement: Measurement) -> float | None:
    value = number(measurement.values, "perplexity")
    return value if value and value > 0 else None
