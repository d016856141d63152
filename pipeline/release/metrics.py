"""Every figure that evidence holds: what it is called, its unit, and whether lower or higher is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.evidence import Measurement
    from pipeline.manifest import Json

Better = Literal["lower", "higher"]
Unit = Literal["", "nats", "share", "problems", "bytes", "tokens/s"]
Word = Literal["better", "worse", "same", "within error"]

SURE = 2.0
"""Standard errors up to which a difference may well be chance: without any, one in twenty is larger."""


@dataclass(frozen=True)
class Metric:
    """error: the key of its error in the same values; exact: nothing about it is estimated, so its error is 0."""

    name: str
    better: Better
    unit: Unit
    error: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Figure:
    """error: one standard error; None when it is not known."""

    metric: Metric
    name: str
    value: float
    error: float | None


PERPLEXITY = Metric("perplexity", "lower", "", "standard_error")
KL = {
    "kl_mean": Metric("KL mean", "lower", "nats", "kl_mean_error"),
    "kl_median": Metric("KL median", "lower", "nats"),
    "kl_p90": Metric("KL p90", "lower", "nats"),
    "kl_p95": Metric("KL p95", "lower", "nats"),
    "kl_p99": Metric("KL p99", "lower", "nats"),
    "kl_max": Metric("KL max", "lower", "nats"),
}
TOP1 = Metric("top-1 agreement", "higher", "share", "top1_error")
WEIGHT_ERROR = Metric("weight error", "lower", "share", exact=True)
GENERATION = Metric("generation", "lower", "problems", exact=True)
SERVING = Metric("serving", "lower", "problems", exact=True)
SPEED = Metric("speed", "higher", "tokens/s", "deviation")
PEAK_MEMORY = Metric("peak memory", "lower", "bytes")

# The difference of the losses from the base is left out: compared between two releases, it says what perplexity says.
_SINGLE: Mapping[str, Mapping[str, Metric]] = {
    "perplexity": {"perplexity": PERPLEXITY},
    "divergence": {**KL, "top1": TOP1},
    "weight_error": {"all": WEIGHT_ERROR},
}
_PASSING = {"generation": GENERATION, "serving": SERVING}
MEASURES = (*_SINGLE, *_PASSING, "speed")


def figures(measurement: Measurement) -> tuple[Figure, ...]:
    """What can be compared of a measurement; what is missing or no finite number is left out."""
    return tuple(_figures(measurement.measure, measurement.values))


def number(values: Mapping[str, Json], key: str) -> float | None:
    """The finite number under `key`; None for anything else."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def problems(values: Mapping[str, Json]) -> tuple[str, ...]:
    """What a check that passes or fails found wrong; empty only when the evidence says that it passed."""
    listed = values.get("problems")
    found = tuple(str(problem) for problem in listed) if isinstance(listed, list) else ()
    return found if found or values.get("passed") is True else ("the evidence does not say that it passed",)


def judged(metric: Metric, difference: float, error: float | None) -> Word | None:
    """What it means when the figure is higher by `difference`, one standard error of which is `error`.

    None where the error is not known: what was found on some text or in some run may be otherwise on the next.
    """
    if error and abs(difference) <= SURE * error:
        return "within error"
    if difference == 0:
        return "same"
    if error is None and not metric.exact:
        return None
    return "better" if (difference < 0) == (metric.better == "lower") else "worse"


def _figures(measure: str, values: Mapping[str, Json]) -> Iterator[Figure]:
    for key, metric in _SINGLE.get(measure, {}).items():
        yield from _figure(metric, metric.name, values, key)
    if measure in _PASSING:
        metric = _PASSING[measure]
        yield Figure(metric, metric.name, len(problems(values)), 0.0)
    if measure == "weight_error" and isinstance(classes := values.get("classes"), dict):
        for name in sorted(classes):
            yield from _figure(WEIGHT_ERROR, f"{WEIGHT_ERROR.name} of {name}", classes, name)
    for kind in ("prompt", "generation") if measure == "speed" else ():
        rows = values.get(kind)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict):
                of = f"{kind} of {row.get('tokens')} tokens"
                yield from _figure(SPEED, of, row, "tokens_per_second")
                yield from _figure(PEAK_MEMORY, f"{of}, {PEAK_MEMORY.name}", row, "peak_memory")


def _figure(metric: Metric, name: str, values: Mapping[str, Json], key: str) -> Iterator[Figure]:
    value = number(values, key)
    if value is not None:
        yield Figure(metric, name, value, 0.0 if metric.exact else number(values, metric.error))
