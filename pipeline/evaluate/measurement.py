"""Results as evidence: every figure with all that would change it."""

from __future__ import annotations

import hashlib
import io
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from pipeline import provenance
from pipeline.errors import NotServed
from pipeline.evaluate import benchmark, serving
from pipeline.evaluate.dataset import Sample
from pipeline.evaluate.divergence import summary
from pipeline.evaluate.forward import here
from pipeline.evaluate.generation import generate
from pipeline.evaluate.lengths import SHORT_PROMPT
from pipeline.evaluate.perplexity import summary as perplexity
from pipeline.evidence import Measurement
from pipeline.manifest import write_atomically
from pipeline.release.server_command import server_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.evaluate.forward import Compute, Loaded
    from pipeline.evaluate.lengths import Length
    from pipeline.evaluate.perplexity import Floats
    from pipeline.evaluate.quality import Found, Text
    from pipeline.evidence import Subject
    from pipeline.manifest import Json
    from pipeline.release.evaluated import Prompt, Sampling


def quality_measurements(
    found: Found, source: Mapping[str, Json], baseline: Mapping[str, Json]
) -> tuple[Measurement, ...]:
    """The perplexity of both models, and how far they are apart; `Unmeasurable` when one of these is no number.

    source: where the text is from; baseline: where the base is from. The digest of the token ids is part of the
    settings: figures of two tokenizers cannot be compared.
    """
    settings: dict[str, Json] = {
        "text": {**source, **_digest(found.text)},
        "window": found.text.window,
        "windows": found.text.windows,
        "token_ids": found.token_ids,
    }
    base, quantized = found.base.weights, found.quantized.weights
    of_base, of_result = ({**settings, **_compute(compute)} for compute in found.computes)
    distance = {**of_result, "baseline": {**baseline, "weights": base}}
    before, after = _perplexity(found.tokenwise.base), _perplexity(found.tokenwise.quantized)
    return (
        _measurement("perplexity", before, of_base, subject="base", weights=base),
        _measurement("perplexity", after, of_result, subject="quantized", weights=quantized),
        _measurement("divergence", summary(found.tokenwise), distance, subject="quantized", weights=quantized),
    )


def _digest(text: Text | Sample) -> dict[str, Json]:
    """Of what was tokenized; of a sampled dataset only the tokens themselves have one."""
    return {} if isinstance(text, Sample) else {"sha256": hashlib.sha256(text.content.encode()).hexdigest()}


def _perplexity(losses: Floats) -> dict[str, Json]:
    result = perplexity(losses)
    return {"perplexity": result.perplexity, "standard_error": result.standard_error, "tokens": result.tokens}


def save_losses(path: Path, found: Found) -> None:
    """Per-token losses in nats, so that other releases can be compared with this one token by token.

    The file holds float32 arrays `base` and `quantized` (windows, window - 1), and the digest of the `token_ids`.
    """
    content = io.BytesIO()
    np.savez_compressed(
        content,
        base=found.tokenwise.base,
        quantized=found.tokenwise.quantized,
        token_ids=np.array(found.token_ids),
    )
    write_atomically(path, content.getvalue())


def weight_error_measurement(errors: Mapping[str, float], baseline: Mapping[str, Json], weights: str) -> Measurement:
    """errors: relative, by tensor class, and of all quantized weights together as ""."""
    values: dict[str, Json] = {"all": errors[""], "classes": {name: error for name, error in errors.items() if name}}
    settings: dict[str, Json] = {"baseline": dict(baseline), **_compute(here("float32"))}
    return _measurement("weight_error", values, settings, subject="quantized", weights=weights)


def generation_measurement(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    max_tokens: int,
    sampling: Sampling | None,
    *,
    subject: Subject,
    weights: str,
    advance: Callable[[int], None],
) -> Measurement:
    """The answers to the prompts, what the chat template makes of conversations, and every problem in words."""
    result = generate(loaded, prompts, max_tokens, advance, sampling)
    transcripts: list[Json] = [{**asdict(t), "problems": list(t.problems)} for t in result.transcripts]
    return _measurement(
        "generation",
        {
            "passed": result.passed,
            "problems": list(result.problems),
            "transcripts": transcripts,
            "templates": [rendered.short() for rendered in result.templates],
        },
        {
            "prompts": [prompt.written() for prompt in prompts],
            "max_tokens": max_tokens,
            "sampling": sampling.model_dump() if sampling else "greedy",
            **_compute(loaded.compute),
        },
        subject=subject,
        weights=weights,
    )


def serving_measurement(
    folder: Path,
    prompt: Prompt,
    max_tokens: int,
    *,
    repository: str,
    trust_remote_code: bool,
    subject: Subject,
    weights: str,
    advance: Callable[[int], None],
) -> Measurement:
    """What `mlx_lm.server` answers; `repository` is what stands in the place of the folder in the card's command."""
    try:
        result = serving.serve(folder, prompt, max_tokens, trust_remote_code=trust_remote_code, advance=advance)
    except NotServed as failure:
        result = serving.Served("", "", (f"{failure}. {failure.hint}",))
    return _measurement(
        "serving",
        {
            "passed": not result.problems,
            "problems": list(result.problems),
            "command": shlex.join(server_command(repository, trust_remote_code=trust_remote_code)),
            "answer": result.answer,
            "streamed": result.streamed,
        },
        {"prompt": prompt.written(), "max_tokens": max_tokens, "sampling": "greedy", **serving.compute()},
        subject=subject,
        weights=weights,
    )


def speed_measurement(
    loaded: Loaded,
    length: Length,
    vocabulary: int,
    trials: int,
    *,
    subject: Subject,
    weights: str,
    advance: Callable[[int], None],
) -> Measurement:
    """How fast the model reads or generates so many tokens, from random ids below `vocabulary`."""
    speed: dict[str, Json] = asdict(benchmark.measure(loaded, vocabulary, length, trials, advance))
    return _measurement(
        "speed",
        {"prompt": [], "generation": [], length.kind: [speed]},
        {
            "method": "mlx_lm.benchmark",
            "trials": trials,
            "prompt_of_generation": SHORT_PROMPT,
            "device": loaded.compute.device,
            **_compute(loaded.compute),
        },
        subject=subject,
        weights=weights,
    )


def _compute(compute: Compute) -> dict[str, Json]:
    return {"backend": compute.backend, "dtype": compute.dtype}


def _measurement(
    measure: str,
    values: Mapping[str, Json],
    settings: Mapping[str, Json],
    *,
    subject: Subject,
    weights: str,
) -> Measurement:
    return Measurement(
        measure=measure,
        subject=subject,
        weights=weights,
        values=values,
        settings=settings,
        tools=provenance.tools(),
        machine=provenance.machine(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
