from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx_lm.models.switch_layers import SwitchLinear
from mlx_lm.utils import load_model

from pipeline.errors import Interrupted
from pipeline.evaluate import cpu, divergence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _masks(length: int, keys: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    allowed = rng.random((1, 1, length, keys)) < 0.7
    allowed[..., 0] = True
    nothing = allowed.copy()
    nothing[0, 0, 2] = False  # as for a padded row: mlx then looks at everything alike, and so must we
    return {
        "none": None,
        "causal": "causal",
        "bool": mx.array(allowed),
        "a row sees nothing": mx.array(nothing),
        "bool of each head": mx.array(np.concatenate([allowed, ~allowed] * 3, axis=1)),
        "added": mx.array(rng.standard_normal((length, keys)).astype(np.float32)),
        "added in bfloat16": mx.array(rng.standard_normal((2, 1, length, keys))).astype(mx.bfloat16),
    }


@pytest.mark.parametrize("keys", [5, 9])
@pytest.mark.parametrize("kind", list(_masks(5, 5)))
def test_attention_is_mlx_s_own(kind: str, keys: int) -> None:
    mx.random.seed(0)
    q, k, v = (mx.random.normal(shape) for shape in ((2, 6, 5, 16), (2, 3, keys, 16), (2, 3, keys, 8)))
    mask = _masks(5, keys)[kind]
    stock = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask=mask)
    with cpu.fast():
        ours = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask=mask)
    np.testing.assert_allclose(np.array(ours), np.array(stock.astype(mx.float32)), atol=1e-6)


def test_attention_sinks_and_bfloat16_keep_mlx_s_own_way() -> None:
    q = mx.random.normal((1, 2, 4, 8))
    half = q.astype(mx.bfloat16)
    sinks = mx.array([0.5, 2.0])
    stock = mx.fast.scaled_dot_product_attention(q, q, q, scale=0.3, mask="causal", sinks=sinks)
    with cpu.fast():
        ours = mx.fast.scaled_dot_product_attention(q, q, q, scale=0.3, mask="causal", sinks=sinks)
        assert mx.fast.scaled_dot_product_attention(half, half, half, scale=0.3).dtype == mx.bfloat16
    assert mx.array_equal(ours, stock)


def test_attention_is_put_back_whatever_happens() -> None:
    before = mx.fast.scaled_dot_product_attention

    def measure() -> None:
        with cpu.fast():
            assert mx.fast.scaled_dot_product_attention is not before
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        measure()
    assert mx.fast.scaled_dot_product_attention is before


@pytest.mark.parametrize(
    "quantization",
    [
        {},
        {"group_size": 32, "bits": 4},
        {"group_size": 64, "bits": 8},
        {"group_size": 32, "bits": 4, "mode": "mxfp4"},
        {"group_size": 16, "bits": 4, "mode": "nvfp4"},
    ],
    ids=str,
)
@pytest.mark.parametrize("architecture", ["llama", "mixtral"])
def test_logits_are_those_of_mlx_lm_in_float32(
    random_model: Callable[..., Path], architecture: str, quantization: dict[str, Any]
) -> None:
    folder = random_model(architecture, **quantization)
    tokens = mx.array(np.random.default_rng(0).integers(0, 256, (2, 40)))  # enough for mlx-lm to sort by expert
    stock, _ = load_model(folder)
    stock.set_dtype(mx.float32)
    model, _ = load_model(folder, lazy=True)
    cpu.use_float32(model)
    with cpu.fast():
        for inputs in (tokens, tokens[:1, :3]):
            expected = np.array(stock(inputs))
            ours = model(inputs)
            assert ours.dtype == mx.float32
            np.testing.assert_allclose(np.array(ours), expected, atol=2e-5 * np.abs(expected).max())


def test_experts_keep_their_overall_scales() -> None:
    """mlx's CPU backend cannot compute with them at all."""
    mx.random.seed(0)
    sizes = mx.array([0.001, 1.0, 500.0])[:, None, None]
    original = SwitchLinear(64, 32, 3, bias=False)
    original.weight = mx.random.normal(original.weight.shape) * sizes
    model = nn.Sequential(original.to_quantized(16, 4, "nvfp4", global_scale=True))
    cpu.use_float32(model)
    error = mx.abs(model.layers[0].weight - original.weight) / sizes
    assert error.mean().item() < 0.1


def test_threads_answer_in_order() -> None:
    later = threading.Event()

    def answer(item: int) -> int:
        if item == 0:
            later.wait(0.05)
        return item * item

    heard: list[int] = []
    cpu.in_threads(answer, range(20), heard.append)
    assert heard == [n * n for n in range(20)]


def test_stopping_leaves_the_rest_undone() -> None:
    begun: list[int] = []

    def stop(_: int) -> None:
        raise Interrupted("stopped")

    def begin(item: int) -> int:
        begun.append(item)
        threading.Event().wait(0.01)
        return item

    with pytest.raises(Interrupted):
        cpu.in_threads(begin, range(1000), stop)
    assert len(begun) < 100


@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 33, 3000)])
def test_distances_are_those_of_mlx(shape: tuple[int, ...]) -> None:
    base = 4 * mx.random.normal(shape, key=mx.random.key(1))
    quantized = base + 0.1 * mx.random.normal(shape, key=mx.random.key(2))
    for one, other in zip(cpu.distance(base, quantized), divergence.distance(base, quantized), strict=True):
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("distance", [cpu.distance, divergence.distance], ids=["numpy", "mlx"])
def test_a_word_that_both_rule_out_is_at_no_distance(distance: Any) -> None:
    base = mx.random.normal((1, 4, 30), key=mx.random.key(1))
    quantized = base + 0.1
    ruled_out = mx.arange(30) == 7
    away, both = mx.where(ruled_out, -mx.inf, base), mx.where(ruled_out, -mx.inf, quantized)
    np.testing.assert_allclose(distance(away, both)[0], 0, atol=1e-6)
    assert np.isinf(distance(base, both)[0]).all()


def test_distances_are_as_exact_as_float32_allows() -> None:
    base = 3 * mx.random.normal((1, 40, 49_152), key=mx.random.key(0))
    quantized = base + 0.05 * mx.random.normal(base.shape, key=mx.random.key(1))
    p, q = (np.exp(np.array(each, np.float64)) for each in (base, quantized))
    p, q = (each / each.sum(-1, keepdims=True) for each in (p, q))
    assert np.abs(cpu.distance(base, quantized)[0] - (p * np.log(p / q)).sum(-1)).max() < 1e-6
