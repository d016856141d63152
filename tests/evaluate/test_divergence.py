from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
import pytest

from pipeline.errors import Unmeasurable
from pipeline.evaluate import forward, passes
from pipeline.evaluate.divergence import Tokenwise, clustered, summary, tokenwise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKENS = np.random.default_rng(5).integers(0, 256, (3, 10), np.int32)


def quiet(_: int) -> None: ...


def compared(base: Path, quantized: Path, states: Path, told: Callable[[int], None] = quiet) -> Tokenwise:
    folders = states / "base", states / "quantized"
    loaded = forward.load(base), forward.load(quantized)
    for weights, folder in zip(loaded, folders, strict=True):
        passes.through_layers(weights, forward.batches(weights, TOKENS[:, :-1]), folder, quiet)
    return tokenwise(*loaded, TOKENS, folders, told)


def test_every_token_is_compared_over_the_whole_vocabulary(random_model: Callable[..., Path], tmp_path: Path) -> None:
    """Against the definitions, in float64 and written out."""
    folders = random_model(), random_model(group_size=32, bits=4)
    told: list[int] = []
    found = compared(*folders, tmp_path, told.append)
    assert sum(told) == TOKENS.size - len(TOKENS)
    scores = []
    for folder in folders:
        loaded = forward.load(folder)
        with forward.computing(loaded):
            scores.append(np.array(loaded.model(mx.array(TOKENS[:, :-1])), np.float64))
    p, q = (np.exp(each) / np.exp(each).sum(-1, keepdims=True) for each in scores)
    np.testing.assert_allclose(found.divergence, (p * np.log(p / q)).sum(-1), rtol=1e-3)
    np.testing.assert_array_equal(found.agreement, p.argmax(-1) == q.argmax(-1))
    for losses, each in ((found.base, p), (found.quantized, q)):
        np.testing.assert_allclose(
            losses, -np.log(np.take_along_axis(each, TOKENS[:, 1:, None], -1)[..., 0]), rtol=1e-4
        )


def test_a_model_is_no_way_from_itself(random_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = random_model()
    values = summary(compared(folder, folder, tmp_path))
    assert values["kl_mean"] == values["kl_max"] == values["loss_difference"] == values["loss_difference_error"] == 0
    assert values["top1"] == values["perplexity_ratio"] == 1
    assert values["tokens"] == 27


def test_percentiles_are_those_of_llama_cpp() -> None:
    """It takes the value at a fraction of the last index, and between two of them their weighted mean."""
    divergences = np.random.default_rng(0).exponential(1.0, (7, 13)).astype(np.float32)
    rows = np.zeros_like(divergences)
    values = summary(Tokenwise(rows, rows, divergences, rows))
    ordered = np.sort(divergences.reshape(-1).astype(np.float64))
    for name, fraction in (("kl_median", 0.5), ("kl_p90", 0.9), ("kl_p95", 0.95), ("kl_p99", 0.99)):
        place = fraction * (len(ordered) - 1)
        low, share = math.floor(place), place % 1
        assert values[name] == pytest.approx(ordered[low] * (1 - share) + ordered[low + 1] * share)
    assert values["kl_max"] == ordered[-1]
    assert values["kl_mean"] == pytest.approx(ordered.mean())


def test_tokens_of_one_window_count_as_one_observation() -> None:
    """Were tokens taken as independent, a window of equal values would make the mean look ten times as sure."""
    rows = np.repeat(np.random.default_rng(1).normal(size=(50, 1)), 100, axis=1)
    mean = clustered(rows)
    assert mean.value == pytest.approx(rows.mean())
    assert mean.error == pytest.approx(rows[:, 0].std(ddof=1) / math.sqrt(50))
    assert clustered(rows[:1]).error is None


def test_differences_are_paired() -> None:
    """Both models find the same windows hard; what they differ by is small and sure."""
    base = np.random.default_rng(2).normal(5, 2, (40, 20)).astype(np.float32)
    noise = np.random.default_rng(3).normal(0.01, 0.001, (40, 20)).astype(np.float32)
    values = summary(Tokenwise(base, base + noise, np.abs(noise), np.ones_like(base)))
    assert values["loss_difference"] == pytest.approx(0.01, rel=0.05)
    assert values["loss_difference_error"] < 0.0001
    assert values["perplexity_ratio"] == pytest.approx(math.exp(values["loss_difference"]))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_cannot_be_published(value: float) -> None:
    rows = np.ones((2, 3), np.float32)
    broken = rows.copy()
    broken[1, 1] = value
    for found in (Tokenwise(rows, rows, broken, rows), Tokenwise(rows, broken, rows, rows)):
        with pytest.raises(Unmeasurable, match="no number"):
            summary(found)


def test_fewer_bits_are_further_away(
    smollm2_base: Path, smollm2_quantized: Callable[[int], Path], tmp_path: Path
) -> None:
    found = [summary(compared(smollm2_base, smollm2_quantized(bits), tmp_path / str(bits))) for bits in (8, 5, 2)]
    eight, five, two = found
    assert 0 < eight["kl_mean"] < five["kl_mean"] < two["kl_mean"]
    assert eight["top1"] > five["top1"] > two["top1"]
