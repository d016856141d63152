from __future__ import annotations

import hashlib

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import mixtral as architecture

from pipeline.rehearsal.mixtral import EXPERTS, grow, mixtral_config
from pipeline.rehearsal.smollm2 import model_config, tensors


@pytest.fixture(scope="module")
def grown(gguf):
    return {tensor.name: tensor for tensor in grow(tensors(gguf), EXPERTS)}


def float32(tensor):
    return (tensor.read().astype(np.uint32) << 16).view(np.float32)


def mlp(x, gate, down, up):
    hidden = x @ gate.T
    return (hidden / (1 + np.exp(-hidden)) * (x @ up.T)) @ down.T


def test_every_expert_computes_the_dense_mlp_in_its_own_way(gguf, grown):
    dense = {tensor.name: tensor for tensor in tensors(gguf)}
    x = np.random.default_rng(0).normal(size=(4, 576)).astype(np.float32)
    parts = ("gate_proj", "down_proj", "up_proj")
    expected = mlp(x, *(float32(dense[f"model.layers.3.mlp.{part}.weight"]) for part in parts))
    prefix = "model.layers.3.block_sparse_moe.experts"
    for expert in range(EXPERTS):
        weights = [float32(grown[f"{prefix}.{expert}.{part}.weight"]) for part in ("w1", "w2", "w3")]
        np.testing.assert_allclose(mlp(x, *weights), expected, rtol=1e-4, atol=1e-3)
    mixed = (f"{prefix}.0.w1.weight", f"{prefix}.1.w2.weight", f"{prefix}.0.w3.weight")
    assert np.abs(mlp(x, *(float32(grown[name]) for name in mixed)) - expected).max() > 0.1


def test_mlx_lm_has_a_place_for_every_tensor(gguf, grown):
    model = architecture.Model(architecture.ModelArgs.from_dict(mixtral_config(model_config(gguf), EXPERTS)))
    empty = {name: mx.zeros(tensor.shape, mx.bfloat16) for name, tensor in grown.items()}
    found = {name: value.shape for name, value in model.sanitize(empty).items()}
    assert found == {name: value.shape for name, value in tree_flatten(model.parameters())}


def test_the_router_is_the_same_everywhere(grown):
    router = grown["model.layers.0.block_sparse_moe.gate.weight"]
    assert router.shape == (EXPERTS, 576)
    assert hashlib.sha256(router.read().tobytes()).hexdigest()[:12] == "c867b4032922"
    assert 0.5 < np.abs(float32(router) * 24).mean() * 2 < 1.5
