from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.perplexity import eval_ppl
from mlx_lm.utils import load_model

from pipeline.errors import Interrupted, Unmeasurable, UsageError
from pipeline.evaluate import forward, perplexity
from pipeline.evaluate.perplexity import windows

if TYPE_CHECKING:
    from collections.abc import Callable

# Wikipedia on the water cycle, CC BY-SA 4.0: prose that a small model has an idea of.
TEXT = """\
The water cycle is a biogeochemical cycle that involves the continuous movement of water on, above and below the surface
of the Earth across different reservoirs. The mass of water on Earth remains fairly constant over time. However, the
partitioning of the water into the major reservoirs of ice, fresh water, salt water and atmospheric water is variable
and depends on climatic variables. The water moves from one reservoir to another, such as from river to ocean, or from
the ocean to the atmosphere. The processes that drive these movements are evaporation, transpiration, condensation,
precipitation, sublimation, infiltration, surface runoff, and subsurface flow. In doing so, the water goes through
different forms: liquid, solid (ice) and vapor. The ocean plays a key role in the water cycle as it is the source of 86%
of global evaporation. The water cycle is driven by energy exchanges in the form of heat transfers between phases."""


def quiet(_: int) -> None: ...


def measure(loaded: forward.Loaded, tokens: forward.Tokens, advance: Callable[[int], None]) -> perplexity.Perplexity:
    with tempfile.TemporaryDirectory() as folder:
        return perplexity.measure(loaded, tokens, Path(folder), advance)


@pytest.mark.parametrize("quantization", [{}, {"group_size": 32, "bits": 4}], ids=["bfloat16", "4 bit"])
@pytest.mark.parametrize("architecture", ["llama", "mixtral"])
@pytest.mark.parametrize("backend", ["cpu", "metal"])
def test_it_is_mlx_lm_s_figure(
    random_model: Callable[..., Path], architecture: str, quantization: dict[str, Any], backend: Any
) -> None:
    folder = random_model(architecture, **quantization)
    tokens = np.random.default_rng(3).integers(0, 256, (5, 48), np.int32)
    stock, _ = load_model(folder)
    stock.set_dtype(mx.float32)
    expected, expected_error = eval_ppl(stock, mx.array(tokens), batch_size=2)
    loaded = forward.load(folder)
    # As on a GPU: several windows a batch, one batch after the other, and nothing replaced.
    loaded = dataclasses.replace(loaded, compute=dataclasses.replace(loaded.compute, backend=backend))
    result = measure(loaded, tokens, quiet)
    assert result.perplexity == pytest.approx(expected, rel=1e-5)
    assert result.standard_error == pytest.approx(expected_error, rel=1e-4)
    assert result.tokens == result.losses.size == 5 * 47
    assert result.losses.dtype == np.float32


def test_losses_are_in_the_order_of_the_text(random_model: Callable[..., Path]) -> None:
    loaded = forward.load(random_model())
    tokens = np.random.default_rng(3).integers(0, 256, (6, 16), np.int32)
    whole = measure(loaded, tokens, quiet).losses
    for window, losses in zip(tokens, whole, strict=True):
        np.testing.assert_allclose(measure(loaded, window[None], quiet).losses[0], losses, atol=1e-5)


def test_windows_are_consecutive_from_the_start(random_model: Callable[..., Path]) -> None:
    tokenizer = forward.load(random_model()).tokenizer
    found = windows(tokenizer, TEXT, 30, 4)
    assert found.shape == (4, 30)
    assert found.reshape(-1).tolist() == tokenizer.encode(TEXT, verbose=False)[:120]


def test_a_text_too_short_is_refused_with_both_lengths(random_model: Callable[..., Path]) -> None:
    tokenizer = forward.load(random_model()).tokenizer
    with pytest.raises(UsageError, match=r"has 9 tokens; 3 windows of 4 need 12"):
        windows(tokenizer, "nine byte", 4, 3)


def test_progress_is_told_and_may_stop_it(random_model: Callable[..., Path]) -> None:
    loaded = forward.load(random_model())
    tokens = np.random.default_rng(3).integers(0, 256, (7, 16), np.int32)
    told: list[int] = []
    measure(loaded, tokens, told.append)
    assert sum(told) == 7 * 15

    def stop(_: int) -> None:
        raise Interrupted("stopped")

    attention = mx.fast.scaled_dot_product_attention
    with pytest.raises(Interrupted):
        measure(loaded, tokens, stop)
    assert mx.fast.scaled_dot_product_attention is attention


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_a_model_that_computes_no_numbers_cannot_be_published(random_model: Callable[..., Path], value: float) -> None:
    loaded = forward.load(random_model())
    head = loaded.model.leaf_modules()["lm_head"]
    head.weight[5] = value
    mx.eval(head.weight)
    tokens = np.random.default_rng(3).integers(0, 256, (2, 16), np.int32)
    with pytest.raises(Unmeasurable, match="no perplexity"):
        measure(loaded, tokens, quiet)


def test_fewer_bits_are_more_surprised(smollm2_base: Path, smollm2_quantized: Callable[[int], Path]) -> None:
    found = []
    for folder in (smollm2_base, smollm2_quantized(8), smollm2_quantized(5), smollm2_quantized(2)):
        loaded = forward.load(folder)
        found.append(measure(loaded, windows(loaded.tokenizer, TEXT, 80, 2), quiet).perplexity)
    base, eight, five, two = found
    assert base == pytest.approx(eight, rel=0.05)
    assert base < five < 2 * base
    assert two > 100 * base


def test_bfloat16_on_the_cpu_would_falsify_the_figure(
    smollm2_base: Path, smollm2_quantized: Callable[[int], Path]
) -> None:
    """Why everything is computed in float32: mlx's own way makes 8 bits look far worse than they are."""
    folder = smollm2_quantized(8)
    loaded = forward.load(folder)
    tokens = windows(loaded.tokenizer, TEXT, 8, 1)  # a second a token in bfloat16
    stock, _ = load_model(folder)
    in_bfloat16, _ = eval_ppl(stock, mx.array(tokens))
    eight = measure(loaded, tokens, quiet).perplexity
    base = measure(forward.load(smollm2_base), tokens, quiet).perplexity
    assert eight == pytest.approx(base, rel=0.03)
    assert abs(in_bfloat16 / base - 1) > 0.05
