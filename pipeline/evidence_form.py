"""What the values and settings of each measure have to look like, so that nothing that reads them can stumble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

Number = Annotated[float, Field(allow_inf_nan=False)]
Error = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class _Form(BaseModel):
    """Only what is named here is checked: a measure may well say more."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Sampling(_Form):
    temperature: Number
    top_p: Number
    seed: Count


class _Settings(_Form):
    window: Count | None = None
    windows: Count | None = None
    max_tokens: Count | None = None
    prompts: list[Any] | None = None
    sampling: _Sampling | str | None = None


class _Perplexity(_Form):
    perplexity: Annotated[Number, Field(gt=0)]
    standard_error: Error | None = None
    tokens: Count | None = None


class _Divergence(_Form):
    kl_mean: Number | None = None
    kl_mean_error: Error | None = None
    kl_median: Number | None = None
    kl_p90: Number | None = None
    kl_p95: Number | None = None
    kl_p99: Number | None = None
    kl_max: Number | None = None
    top1: Number | None = None
    top1_error: Error | None = None
    # In nats: beyond that the perplexity would be so many times as large that no number says it.
    loss_difference: Annotated[Number, Field(ge=-700, le=700)] | None = None
    loss_difference_error: Error | None = None
    tokens: Count | None = None


class _WeightError(_Form):
    all: Number | None = None
    classes: dict[str, Number] | None = None


class _Rate(_Form):
    tokens: Count
    tokens_per_second: Error
    deviation: Error | None = None
    peak_memory: Count | None = None


class _Speed(_Form):
    prompt: list[_Rate]
    generation: list[_Rate]


class _Transcript(_Form):
    prompt: str
    text: str
    tokens: Count
    stopped: bool
    problems: list[str]
    sampled: bool = False


class _Conversation(_Form):
    conversation: str
    problems: list[str]


class _Generation(_Form):
    passed: bool
    transcripts: list[_Transcript]
    templates: list[_Conversation] = []


class _Serving(_Form):
    command: str
    passed: bool
    problems: list[str]


_FORMS: Mapping[str, type[_Form]] = {
    "perplexity": _Perplexity,
    "divergence": _Divergence,
    "weight_error": _WeightError,
    "speed": _Speed,
    "generation": _Generation,
    "serving": _Serving,
}


def misfit(measure: str, values: Mapping[str, object], settings: Mapping[str, object]) -> str:
    """What is wrong first, such as "`values.perplexity` is missing"; empty when nothing is."""
    for name, form, row in (("values", _FORMS.get(measure, _Form), values), ("settings", _Settings, settings)):
        try:
            form.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            path = ".".join(str(part) for part in (name, *first["loc"]) if part != _Sampling.__name__)
            if first["type"] == "missing":
                return f"`{path}` is missing"
            return f"`{path}` {first['msg'].removeprefix('Input ')}"
    return ""
