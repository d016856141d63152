"""What the evidence says about how good the quantized model is, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.evidence import Evidence, Measurement

Verdict = Literal["within error", "better", "worse"]


@dataclass(frozen=True)
class Perplexity:
    """One model's figure; `error` is one standard error, `settings` is how it was measured."""

    value: float
    error: float
    tokens: int
    settings: Mapping[str, Any]
    tools: Mapping[str, str]
    machine: Mapping[str, Any]
    reported: bool


@dataclass(frozen=True)
class Comparison:
    """The quantized model against its base.

    error: of the difference, the two figures' errors taken as independent. Both models read the same tokens, so the
    true error is smaller: "within error" is said too often rather than too seldom.
    """

    difference: float
    error: float
    ratio: float

    @property
    def verdict(self) -> Verdict:
        if abs(self.difference) <= self.error:
            return "within error"
        return "worse" if self.difference > 0 else "better"


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
    quantized: Perplexity | None
    base: Perplexity | None
    generation: Generation | None
    serving: Serving | None

    @property
    def comparison(self) -> Comparison | None:
        """None unless both figures were measured in the same way: anything else compares nothing."""
        if not self.quantized or not self.base or self.quantized.settings != self.base.settings:
            return None
        difference = self.quantized.value - self.base.value
        if not math.isfinite(difference):
            return None
        return Comparison(difference, math.hypot(self.quantized.error, self.base.error), difference / self.base.value)

    @property
    def reported(self) -> bool:
        """Whether a figure was taken over from somewhere else."""
        return any(figure.reported for figure in (self.quantized, self.base) if figure)


def read(evidence: Evidence) -> Quality:
    return Quality(
        quantized=_perplexity(evidence.find("perplexity", "quantized")),
        base=_perplexity(evidence.find("perplexity", "base")),
        generation=_generation(evidence.find("generation", "quantized")),
        serving=_serving(evidence.find("serving", "quantized")),
    )


def _perplexity(measurement: Measurement | None) -> Perplexity | None:
    if measurement is None:
        return None
    values = cast("Mapping[str, Any]", measurement.values)
    return Perplexity(
        value=float(values["perplexity"]),
        error=float(values["standard_error"]),
        tokens=int(values["tokens"]),
        settings=measurement.settings,
        tools=measurement.tools,
        machine=measurement.machine,
        reported=measurement.source == "reported",
    )


def _generation(measurement: Measurement | None) -> Generation | None:
    if measurement is None or not measurement.values["transcripts"]:
        return None
    values = cast("Mapping[str, Any]", measurement.values)
    answers = tuple(
        Answer(
            row["prompt"], row["text"], row["tokens"], row["stopped"], tuple(row["problems"]), row.get("sampled", False)
        )
        for row in values["transcripts"]
    )
    settings = cast("Mapping[str, Any]", measurement.settings)
    sampling, prompts = settings.get("sampling"), settings.get("prompts", ())
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
