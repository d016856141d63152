"""How surprised a model is by pinned text: the numbers of `mlx_lm.perplexity` on the same tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from mlx.nn.losses import cross_entropy

from pipeline.errors import Unmeasurable, UsageError
from pipeline.evaluate.forward import batches, computing, in_turn
from pipeline.evaluate.passes import logits, through_layers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.evaluate.forward import Tokens, Weights
    from pipeline.evaluate.model import Tokenizer

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Perplexity:
    """standard_error: of the perplexity itself; losses: nats (windows, window - 1) of each of the predicted tokens."""

    perplexity: float
    standard_error: float
    tokens: int
    losses: Floats


def windows(tokenizer: Tokenizer, text: str, window: int, count: int) -> Tokens:
    """The first `count` consecutive windows of `window` tokens of the text, as (count, window) token ids.

    The text is one document, tokenized whole with whatever the tokenizer puts in front of one; `UsageError` when it is
    too short.
    """
    ids = tokenizer.encode(text, verbose=False)  # else transformers warns of a text longer than the model's context
    if len(ids) < window * count:
        raise UsageError(
            f"the evaluation text has {len(ids):,} tokens; {count} windows of {window} need {window * count:,}",
            hint="Lower `evaluate.windows` or `evaluate.window`, or choose a longer text.",
        )
    return np.array(ids[: window * count], np.int32).reshape(count, window)


def measure(weights: Weights, tokens: Tokens, folder: Path, advance: Callable[[int], None]) -> Perplexity:
    """Perplexity over windows (count, window): in each, every token but the first is predicted from those before it.

    folder: where what is known so far is kept, see `pipeline.evaluate.passes`. `advance` is told the tokens that were
    predicted. `Unmeasurable` when the model's output is no number: whatever was asked, that cannot be published.
    """
    inputs = batches(weights, tokens[:, :-1])
    through_layers(weights, inputs, folder, advance)
    found: list[Floats] = []

    def losses(index: int) -> Floats:
        return losses_of(logits(weights, inputs, folder, index), targets[index])

    targets = batches(weights, tokens[:, 1:])
    with computing(weights):
        in_turn(weights, losses, range(len(inputs)), found.append)
    return summary(np.concatenate(found))


def losses_of(scores: mx.array, targets: Tokens) -> Floats:
    """Nats (sequences, length) by which logits (sequences, length, vocabulary) miss the targets, as mlx_lm takes them.

    On a CPU, over 49,152 words, mlx's logarithms of sums are 0.00005 too low; numpy's would be exact, and not the
    numbers of mlx_lm.
    """
    return np.array(cross_entropy(scores, mx.array(targets), reduction="none"))


def summary(losses: Floats) -> Perplexity:
    """Of losses (windows, window - 1); `Unmeasurable` when there is no such number."""
    mean = float(losses.mean(dtype=np.float64))
    if not mean < math.log(np.finfo(np.float64).max):  # nor when it is no number
        raise Unmeasurable(
            f"the model has no perplexity: its mean loss over {losses.size:,} tokens is {mean:.3g}",
            hint="Its weights or its quantization are broken; look at the precisions of the recipe.",
        )
    perplexity = math.exp(mean)
    error = float(losses.std(ddof=1, dtype=np.float64)) / math.sqrt(losses.size)
    return Perplexity(perplexity, perplexity * error, losses.size, losses)
