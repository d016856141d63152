"""How far a quantized model is from its base on the same tokens, exactly, over the whole vocabulary.

The measures are those of llama.cpp's `llama-perplexity --kl-divergence`: for every token the Kullback-Leibler
divergence of the quantized model's distribution from the base's, and whether both think the same token the most likely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from pipeline.errors import Unmeasurable
from pipeline.evaluate import cpu
from pipeline.evaluate.forward import batches, computing, in_turn
from pipeline.evaluate.passes import logits
from pipeline.evaluate.perplexity import losses_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.evaluate.forward import Tokens, Weights
    from pipeline.evaluate.perplexity import Floats


@dataclass(frozen=True)
class Tokenwise:
    """What was found for every predicted token, each (windows, window - 1).

    base, quantized: losses in nats; divergence: in nats; agreement: 1 where both models' first choice is the same.
    """

    base: Floats
    quantized: Floats
    divergence: Floats
    agreement: Floats


@dataclass(frozen=True)
class Mean:
    """A mean over tokens and its standard error, for which a window counts as one observation: its tokens are not
    independent of one another. A single window has no such error.
    """

    value: float
    error: float | None


def tokenwise(
    base: Weights,
    quantized: Weights,
    tokens: Tokens,
    folders: tuple[Path, Path],
    advance: Callable[[int], None],
) -> Tokenwise:
    """Compare two models of which each has all batches behind its last layer, in its folder (base, quantized).

    tokens: windows (count, window). In memory are both heads, and the logits of as many batches as compute at a time.
    """
    inputs, targets = (batches(quantized, part) for part in (tokens[:, :-1], tokens[:, 1:]))

    on_cpu = quantized.compute.backend == "cpu"

    def compare(index: int) -> tuple[Floats, ...]:
        scores = logits(base, inputs, folders[0], index), logits(quantized, inputs, folders[1], index)
        losses = (losses_of(each, targets[index]) for each in scores)
        return (*losses, *(cpu.distance if on_cpu else distance)(*scores))

    rows: list[tuple[Floats, ...]] = []

    def done(row: tuple[Floats, ...]) -> None:
        rows.append(row)
        advance(row[0].size)

    with computing(quantized):
        in_turn(quantized, compare, range(len(inputs)), done)
    return Tokenwise(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def distance(base: mx.array, quantized: mx.array) -> tuple[Floats, Floats]:
    """Divergence and agreement (sequences, length) of float32 logits (sequences, length, vocabulary)."""
    ours, theirs = (scores - mx.logsumexp(scores, axis=-1, keepdims=True) for scores in (quantized, base))
    likely = mx.exp(theirs)
    # A word that both models rule out is at no distance, though its logits have none.
    divergence = mx.sum(mx.where(likely > 0, likely * (theirs - ours), 0), axis=-1)
    agreement = (mx.argmax(base, axis=-1) == mx.argmax(quantized, axis=-1)).astype(mx.float32)
    return np.array(divergence), np.array(agreement)


def clustered(values: NDArray[np.floating]) -> Mean:
    """The mean of values (windows, tokens)."""
    means = values.mean(axis=1, dtype=np.float64)
    error = float(means.std(ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else None
    return Mean(float(means.mean()), error)


def summary(found: Tokenwise) -> dict[str, float | int | None]:
    """The figures of a measurement "divergence", by name; `Unmeasurable` when one of them is no number."""
    mean_loss = found.quantized.mean(dtype=np.float64) - found.base.mean(dtype=np.float64)
    numbers = all(np.isfinite(values).all() for values in (found.base, found.quantized, found.divergence))
    if not numbers or mean_loss > math.log(np.finfo(np.float64).max):
        raise Unmeasurable(
            "the quantized model's distance from its base is no number",
            hint="Its weights or its quantization are broken; look at the precisions of the recipe.",
        )
    divergence = found.divergence.astype(np.float64)
    mean, agreement = clustered(found.divergence), clustered(found.agreement)
    difference = clustered(found.quantized.astype(np.float64) - found.base)
    median, p90, p95, p99 = np.percentile(divergence, (50, 90, 95, 99))
    return {
        "kl_mean": mean.value,
        "kl_mean_error": mean.error,
        "kl_median": float(median),
        "kl_p90": float(p90),
        "kl_p95": float(p95),
        "kl_p99": float(p99),
        "kl_max": float(divergence.max()),
        "top1": agreement.value,
        "top1_error": agreement.error,
        "loss_difference": difference.value,
        "loss_difference_error": difference.error,
        "perplexity_ratio": math.exp(difference.value),
        "tokens": found.base.size,
    }
