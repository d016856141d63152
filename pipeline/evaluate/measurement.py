"""Results as evidence: every figure with all that would change it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import provenance
from pipeline.evaluate import benchmark
from pipeline.evaluate.generation import generate
from pipeline.evaluate.lengths import SHORT_PROMPT
from pipeline.evaluate.perplexity import measure
from pipeline.evidence import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.evaluate.forward import Loaded, Tokens
    from pipeline.evaluate.lengths import Length
    from pipeline.evidence import Subject
    from pipeline.manifest import Json


def perplexity_measurement(
    loaded: Loaded,
    tokens: Tokens,
    *,
    subject: Subject,
    weights: str,
    text: Mapping[str, Json],
    advance: Callable[[int], None],
) -> Measurement:
    """Perplexity on windows of tokens (count, window); `text` says where they are from.

    The digest of the token ids is part of the settings: figures of two tokenizers cannot be compared.
    """
    result = measure(loaded, tokens, advance)
    return _measurement(
        "perplexity",
        loaded,
        {"perplexity": result.perplexity, "standard_error": result.standard_error, "tokens": result.tokens},
        {
            "text": dict(text),
            "window": tokens.shape[1],
            "windows": tokens.shape[0],
            "token_ids": hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest(),
        },
        subject=subject,
        weights=weights,
    )


def generation_measurement(
    loaded: Loaded,
    prompts: Sequence[str],
    max_tokens: int,
    *,
    subject: Subject,
    weights: str,
    advance: Callable[[int], None],
) -> Measurement:
    """The answers to the prompts, and every problem with the prompt that showed it."""
    result = generate(loaded, prompts, max_tokens, advance)
    transcripts: list[Json] = [{**asdict(t), "problems": list(t.problems)} for t in result.transcripts]
    return _measurement(
        "generation",
        loaded,
        {
            "passed": result.passed,
            "problems": [f"the answer to {t.prompt!r} {problem}" for t in result.transcripts for problem in t.problems],
            "transcripts": transcripts,
        },
        {"prompts": list(prompts), "max_tokens": max_tokens, "sampling": "greedy"},
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
        loaded,
        {"prompt": [], "generation": [], length.kind: [speed]},
        {
            "method": "mlx_lm.benchmark",
            "trials": trials,
            "prompt_of_generation": SHORT_PROMPT,
            "device": loaded.compute.device,
        },
        subject=subject,
        weights=weights,
    )


def _measurement(
    measure: str,
    loaded: Loaded,
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
        settings={**settings, "backend": loaded.compute.backend, "dtype": loaded.compute.dtype},
        tools=provenance.tools(),
        machine=provenance.machine(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
