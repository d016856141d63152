"""What the evidence says about how good the quantized model is, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pipeline.evidence import Evidence
from pipeline.release.change import Change, from_base
from pipeline.release.comparable import on_other_tokens, why_not
from pipeline.release.metrics import KL, TOP1, figures, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.evidence import Measurement
    from pipeline.release.metrics import Word


@dataclass(frozen=True)
class Perplexity:
    """One model's figure; `error` is one standard error, `settings` is how it was measured.

    A figure that was reported elsewhere may come without its error and its tokens.
    """

    value: float
    error: float | None
    tokens: int | None
    settings: Mapping[str, Any]
    tools: Mapping[str, str]
    machine: Mapping[str, Any]
    reported: bool


@dataclass(frozen=True)
class Comparison:
    """The quantized model against its base.

    error: one standard error of the difference; paired: of the difference token by token, clustered by window. Else the
    errors of the two figures are taken as independent. Both models read the same tokens, so the true error is smaller:
    "within error" is then said too often rather than too seldom.
    """

    difference: float
    error: float
    ratio: float
    verdict: Word
    paired: bool


@dataclass(frozen=True)
class Divergence:
    """How far the predictions are from the base's, over all `tokens`; errors are None where they are not known.

    kl_mean in nats and top1 as a share, each with its error; tail: the other KL figures by their names, in nats.
    elsewhere: how it was taken otherwise than the perplexity beside it; empty when on the same tokens.
    """

    kl_mean: tuple[float, float | None] | None
    top1: tuple[float, float | None] | None
    tail: Mapping[str, float]
    tokens: int | None
    elsewhere: str
    reported: bool


@dataclass(frozen=True)
class WeightErrors:
    """Relative errors of the weights: of all together, and by tensor class, largest first."""

    all: float | None
    classes: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """One prompt and what the model made of it; stopped: it ended by itself; sampled: it was drawn at random."""

    prompt: str
    text: str
    tokens: int
    stopped: bool
    problems: tuple[str, ...]
    sampled: bool


@dataclass(frozen=True)
class Generation:
    """expected: how many prompts say what the answer has to contain; sampling: temperature, top_p and seed, if any.

    conversations: on which kinds of them the chat template was tried; template_problems: what is wrong with it.
    """

    answers: tuple[Answer, ...]
    passed: bool
    expected: int
    sampling: Mapping[str, float]
    conversations: tuple[str, ...]
    template_problems: tuple[str, ...]

    @property
    def prompts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(answer.prompt for answer in self.answers))

    @property
    def good(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.answers if answer.stopped and not answer.problems)

    @property
    def sample(self) -> Answer:
        """The answer to show: the first without a fault, or else the first."""
        return (self.good or self.answers)[0]


@dataclass(frozen=True)
class Serving:
    """command: the line that was run, but for the folder and the port; dtype: where not in that of the files."""

    command: str
    dtype: str
    passed: bool
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Quality:
    """What is None was not measured.

    base: None too when it was measured in another way than this model, which `apart` then says: figures of two ways
    never get into one table.
    """

    quantized: Perplexity | None
    base: Perplexity | None
    apart: str
    comparison: Comparison | None
    divergence: Divergence | None
    weight_errors: WeightErrors | None
    generation: Generation | None
    serving: Serving | None

    @property
    def reported(self) -> bool:
        """Whether a figure was taken over from somewhere else."""
        return any(figure.reported for figure in (self.quantized, self.base, self.divergence) if figure)


def read(evidence: Evidence) -> Quality:
    """Of what was measured here; figures of other programs, even of this model, are told of apart."""
    evidence = Evidence(tuple(one for one in evidence.measurements if not one.imported))
    base, quantized = evidence.find("perplexity", "base"), evidence.find("perplexity", "quantized")
    apart = why_not(quantized, base) if base and quantized else ""
    return Quality(
        quantized=_perplexity(quantized),
        base=None if apart else _perplexity(base),
        apart=apart,
        comparison=None if apart else _comparison(evidence),
        divergence=_divergence(evidence.find("divergence", "quantized"), quantized),
        weight_errors=_weight_errors(evidence.find("weight_error", "quantized")),
        generation=_generation(evidence.find("generation", "quantized")),
        serving=_serving(evidence.find("serving", "quantized")),
    )


def _comparison(evidence: Evidence) -> Comparison | None:
    """None unless both figures were measured, in the same way: anything else compares nothing."""
    change = from_base(evidence)
    if not isinstance(change, Change) or change.points is None or change.points_error is None or not change.word:
        return None
    return Comparison(change.points, change.points_error, change.share, change.word, change.paired)


def _divergence(measurement: Measurement | None, perplexity: Measurement | None) -> Divergence | None:
    if measurement is None:
        return None
    found = {figure.name: figure for figure in figures(measurement)}
    mean, top1 = found.get(KL["kl_mean"].name), found.get(TOP1.name)
    tokens = number(measurement.values, "tokens")
    return Divergence(
        kl_mean=(mean.value, mean.error) if mean else None,
        top1=(top1.value, top1.error) if top1 else None,
        tail={name: figure.value for name, figure in found.items() if figure not in {mean, top1}},
        tokens=int(tokens) if tokens else None,
        elsewhere=on_other_tokens(measurement, perplexity) if perplexity else "",
        reported=measurement.source == "reported",
    )


def _weight_errors(measurement: Measurement | None) -> WeightErrors | None:
    if measurement is None:
        return None
    classes = measurement.values.get("classes")
    known = {name: number(classes, name) for name in classes} if isinstance(classes, dict) else {}
    largest = sorted(((error, name) for name, error in known.items() if error is not None), reverse=True)
    return WeightErrors(number(measurement.values, "all"), {name: error for error, name in largest})


def _perplexity(measurement: Measurement | None) -> Perplexity | None:
    if measurement is None:
        return None
    value, tokens = number(measurement.values, "perplexity"), number(measurement.values, "tokens")
    return Perplexity(
        value=math.nan if value is None else value,
        error=number(measurement.values, "standard_error"),
        tokens=None if tokens is None else int(tokens),
        settings=measurement.settings,
        tools=measurement.tools,
        machine=measurement.machine,
        reported=measurement.source == "reported",
    )


def _generation(measurement: Measurement | None) -> Generation | None:
    if measurement is None or not measurement.values.get("transcripts"):
        return None
    values = cast("Mapping[str, Any]", measurement.values)
    answers = tuple(
        Answer(
            row["prompt"], row["text"], row["tokens"], row["stopped"], tuple(row["problems"]), row.get("sampled", False)
        )
        for row in values["transcripts"]
    )
    settings = cast("Mapping[str, Any]", measurement.settings)
    sampling, prompts = settings.get("sampling"), settings.get("prompts") or ()
    templates = values.get("templates", ())
    return Generation(
        answers,
        bool(values["passed"]),
        sum(isinstance(prompt, dict) and "expect" in prompt for prompt in prompts),
        sampling if isinstance(sampling, dict) else {},
        tuple(row["conversation"] for row in templates),
        tuple(problem for row in templates for problem in row["problems"]),
    )


def _serving(measurement: Measurement | None) -> Serving | None:
    if measurement is None:
        return None
    values = cast("Mapping[str, Any]", measurement.values)
    dtype = str(measurement.settings.get("dtype", ""))
    return Serving(str(values["command"]), dtype, bool(values["passed"]), tuple(values["problems"]))
