"""How fast a model reads a prompt and generates: the method of `mlx_lm.benchmark`."""

from __future__ import annotations

import contextlib
import statistics
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx
from mlx_lm.generate import GenerationResponse, stream_generate

from pipeline.errors import BaseModelError
from pipeline.evaluate.forward import computing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.evaluate.forward import Loaded
    from pipeline.evaluate.lengths import Length
    from pipeline.evaluate.model import Tokenizer
    from pipeline.manifest import Json

_stream: Callable[..., Iterator[GenerationResponse]] = stream_generate


@dataclass(frozen=True)
class Speed:
    """tokens: read or generated; deviation: the sample standard deviation of tokens per second over the trials.

    peak_memory: bytes that mlx held at most, weights and cache included. On a CPU much of a computation is numpy's and
    not counted.
    """

    tokens: int
    tokens_per_second: float
    deviation: float | None
    peak_memory: int


def measure(loaded: Loaded, vocabulary: int, length: Length, trials: int, advance: Callable[[int], None]) -> Speed:
    """How fast random ids below `vocabulary` are read, or tokens generated after them, whichever `length` asks for.

    Once to warm up, then `trials` times; no token ends the generation. `advance` is told of every token.
    """
    mx.random.seed(0)
    ids = mx.random.randint(0, vocabulary, (length.prompt,))
    mx.clear_cache()
    mx.reset_peak_memory()
    with computing(loaded), _endless(loaded.tokenizer):
        _run(loaded, ids, length.generation, advance)
        runs = [_run(loaded, ids, length.generation, advance) for _ in range(trials)]
    rates = [run.prompt_tps if length.kind == "prompt" else run.generation_tps for run in runs]
    deviation = statistics.stdev(rates) if len(rates) > 1 else None
    return Speed(length.tokens, statistics.fmean(rates), deviation, mx.get_peak_memory())


def vocabulary(config: Mapping[str, Json]) -> int:
    """How many token ids a model has by its config.json."""
    text_config = config.get("text_config")
    for table in (config, text_config if isinstance(text_config, dict) else {}):
        size = table.get("vocab_size")
        if isinstance(size, int) and size > 0:
            return size
    raise BaseModelError(
        "config.json says no `vocab_size`, which a random prompt is made from",
        hint="Leave `evaluate.speed` out of release.yaml.",
    )


def _run(loaded: Loaded, ids: mx.array, generation: int, advance: Callable[[int], None]) -> GenerationResponse:
    """What mlx-lm says at the end."""
    read = 0

    def progress(done: int, _: int) -> None:
        nonlocal read
        advance(done - read)
        read = done

    last: deque[GenerationResponse] = deque(maxlen=1)
    options = {"max_tokens": generation, "prompt_progress_callback": progress}
    for response in _stream(loaded.model, loaded.tokenizer, ids, **options):
        advance(1)
        last.append(response)
    return last.pop()


@contextlib.contextmanager
def _endless(tokenizer: Tokenizer) -> Iterator[None]:
    """No token ends the generation for as long as this lasts."""
    stop, tokenizer.eos_token_ids = set(tokenizer.eos_token_ids), set()
    try:
        yield
    finally:
        tokenizer.eos_token_ids = stop
