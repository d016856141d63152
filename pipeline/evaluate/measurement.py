"""Results as evidence: every figure with all that would change it."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import provenance
from pipeline.evaluate.generation import generate
from pipeline.evaluate.perplexity import measure, windows
from pipeline.evaluate.serving import compute, serve
from pipeline.evidence import Measurement
from pipeline.release.server_command import server_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.evaluate.forward import Loaded
    from pipeline.evidence import Subject
    from pipeline.manifest import Json
    from pipeline.release.schema import Prompt, Sampling


def perplexity_measurement(
    loaded: Loaded,
    text: str,
    window: int,
    count: int,
    *,
    subject: Subject,
    weights: str,
    source: Mapping[str, Json],
    advance: Callable[[int], None],
) -> Measurement:
    """Perplexity on the first `count` windows of the text; `source` says where the text is from.

    The digest of the token ids is part of the settings: figures of two tokenizers cannot be compared.
    """
    tokens = windows(loaded.tokenizer, text, window, count)
    result = measure(loaded, tokens, advance)
    return _measurement(
        "perplexity",
        {"perplexity": result.perplexity, "standard_error": result.standard_error, "tokens": result.tokens},
        {
            "text": {**source, "sha256": hashlib.sha256(text.encode()).hexdigest()},
            "window": window,
            "windows": count,
            "token_ids": hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest(),
            **_compute(loaded),
        },
        subject=subject,
        weights=weights,
    )


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
            **_compute(loaded),
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
    result = serve(folder, prompt, max_tokens, trust_remote_code=trust_remote_code, advance=advance)
    return _measurement(
        "serving",
        {
            "passed": not result.problems,
            "problems": list(result.problems),
            "command": shlex.join(server_command(repository, trust_remote_code=trust_remote_code)),
            "answer": result.answer,
            "streamed": result.streamed,
        },
        {"prompt": prompt.written(), "max_tokens": max_tokens, "sampling": "greedy", **compute()},
        subject=subject,
        weights=weights,
    )


def _compute(loaded: Loaded) -> dict[str, Json]:
    return {"backend": loaded.compute.backend, "dtype": loaded.compute.dtype}


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
