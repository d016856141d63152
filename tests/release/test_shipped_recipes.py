"""The recipes in this repository, on the models that they are made for, and the releases that use them."""

from __future__ import annotations

import math

import pytest

from pipeline.release.find import recipe_names, release_names
from pipeline.release.layers import layer_class
from pipeline.release.load import load_recipe, load_release
from pipeline.release.recipe import Module, assign

# The modules of Kimi K2.5 as mlx-lm names and shapes them, and the parameters that are never quantized.
HIDDEN, EXPERTS, LAYERS = 7168, 384, 61
ATTENTION = {
    "q_a_proj": (1536, HIDDEN),
    "q_b_proj": (12288, 1536),
    "kv_a_proj_with_mqa": (576, HIDDEN),
    "embed_q": (64, 512, 128),
    "unembed_out": (64, 128, 512),
    "o_proj": (HIDDEN, 8192),
}
NORMS = LAYERS * (2 * HIDDEN + 1536 + 512) + HIDDEN
ROUTERS = (LAYERS - 1) * (EXPERTS * HIDDEN + EXPERTS)


def mlp(path, width, *experts):
    yield Module(f"{path}.gate_proj", (*experts, width, HIDDEN))
    yield Module(f"{path}.up_proj", (*experts, width, HIDDEN))
    yield Module(f"{path}.down_proj", (*experts, HIDDEN, width))


def kimi():
    yield Module("language_model.model.embed_tokens", (163840, HIDDEN))
    yield Module("language_model.lm_head", (163840, HIDDEN))
    for layer in range(LAYERS):
        path = f"language_model.model.layers.{layer}"
        yield from (Module(f"{path}.self_attn.{name}", shape) for name, shape in ATTENTION.items())
        if layer == 0:
            yield from mlp(f"{path}.mlp", 18432)
        else:
            yield from mlp(f"{path}.mlp.shared_experts", 2048)
            yield from mlp(f"{path}.mlp.switch_mlp", 2048, EXPERTS)


def test_every_recipe_in_the_repository_loads(shipped):
    names = recipe_names(shipped)
    assert {"mixed-5-6-8", "uniform-2bit", "uniform-3bit-g64"} <= set(names)
    for name in names:
        assert load_recipe(shipped, name).summary


def test_every_release_in_the_repository_loads(shipped):
    for name in release_names(shipped):
        assert load_release(shipped, name).name == name


def test_the_mixed_recipe_names_every_module_of_a_small_llama(shipped, llama):
    assignment = assign(load_recipe(shipped, "mixed-5-6-8"), llama())
    assert assignment.counts == (1, 120, 90)
    kinds = {layer_class(assigned.module.path): str(assigned.precision) for assigned in assignment.modules}
    assert kinds == {
        "embed_tokens": "8 bit g64",
        **{f"self_attn.{x}_proj": "6 bit g64" for x in "qkvo"},
        **{f"mlp.{x}_proj": "5 bit g64" for x in ("gate", "up", "down")},
    }


def test_the_refused_recipe_gives_two_bits_to_everything(shipped, llama):
    assignment = assign(load_recipe(shipped, "uniform-2bit"), llama())
    assert {str(precision) for precision in assignment.precisions.values()} == {"2 bit g64"}


@pytest.mark.parametrize(
    ("name", "gigabytes", "bits_per_weight"),
    [
        ("kimi-k2.5-2.5bit", 350.25, 2.730),
        ("kimi-k2.5-2.8bit", 377.26, 2.940),
        ("kimi-k2.5-lossless", 657.62, 5.126),
        ("uniform-3bit-g64", 449.31, 3.502),
    ],
)
def test_kimi_k25_comes_out_at_the_size_that_was_published(name, gigabytes, bits_per_weight, shipped):
    assignment = assign(load_recipe(shipped, name), list(kimi()))
    parameters = {assigned.module.path: math.prod(assigned.module.shape) for assigned in assignment.modules}
    total = sum(parameters.values()) + NORMS + ROUTERS
    assert total == 1_026_408_232_448
    bits = sum(parameters[path] * given.bits_per_weight for path, given in assignment.precisions.items())
    bits += 16 * (NORMS + ROUTERS)
    assert round(bits / 8e9, 2) == gigabytes
    assert round(bits / total, 3) == bits_per_weight
