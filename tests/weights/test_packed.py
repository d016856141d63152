from __future__ import annotations

import dataclasses
import math

import pytest
import tiny_kimi
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BaseModelError
from pipeline.release.recipe import Unquantized
from pipeline.weights.architecture import modules
from pipeline.weights.families import BaseTensor
from pipeline.weights.headers import BITS
from pipeline.weights.layout import layout
from pipeline.weights.packed import unpacked


def group(**weights) -> dict:
    known = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
    return {"weights": known | weights}


def compressed(*groups, form: str = "pack-quantized") -> dict:
    tables = {f"group_{number}": one for number, one in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": tables}


@pytest.mark.parametrize(
    ("quantization", "named"),
    [
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes"),
        ({"quantization_config": {"quantization": {"quant_algo": "NVFP4"}}}, "an unnamed method"),
        ({"quantization_config": "odd"}, "odd"),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8 in blocks of None"),
        (
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 64]}},
            r"fp8 in blocks of \[64, 64\]",
        ),
        ({"quantization_config": compressed(group(), form="float-quantized")}, "format float-quantized"),
        ({"text_config": {"quantization_config": compressed(group(num_bits=8))}}, "num_bits 8"),
        ({"quantization_config": compressed(group(symmetric=False))}, "symmetric False"),
        ({"quantization_config": compressed(group(strategy="channel", group_size=None))}, "strategy channel"),
        ({"quantization_config": compressed(group(group_size=48))}, "group_size 48"),
        ({"quantization_config": compressed(group(actorder="group"))}, "actorder group"),
        ({"quantization_config": compressed(group(type="float"))}, "type float"),
        ({"quantization_config": compressed(group(), group(group_size=64))}, "2 groups of modules instead of one"),
        ({"quantization_config": compressed()}, "0 groups of modules"),
    ],
)
def test_what_cannot_be_undone_is_refused_by_name(quantization, named, tiny, read_folder):
    base = read_folder(tiny("llama"))
    with pytest.raises(BaseModelError, match=f"cannot be undone: .*{named}") as caught:
        modules(dataclasses.replace(base, config={**base.config, **quantization}))
    assert "packed by compressed-tensors" in caught.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 130) | st.floats() | st.sampled_from(["int", "mlx", "affine", "group"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["bits", "weights", "mode"]), inner),
    max_leaves=4,
)
KEYS = st.sampled_from(
    ["quant_method", "format", "config_groups", "bits", "group_size", "mode", "a", "weight_block_size"]
)
METHODS = st.sampled_from(["compressed-tensors", "fp8", "mxfp4", "mlx"]) | JSON


@given(
    st.dictionaries(KEYS, JSON),
    METHODS,
    st.sampled_from([{}, compressed(), compressed(group()), {"bits": 4.0, "group_size": 64}]),
    st.dictionaries(
        st.sampled_from([f"a.{part}" for part in ("weight", "scales", "biases", "weight_packed", "weight_scale")]),
        st.builds(
            BaseTensor,
            st.sampled_from(["U32", "BF16", "U8"]),
            st.lists(st.sampled_from([0, 2, 8, 64])).map(tuple),
            st.just("f"),
        ),
    ),
)
def test_no_config_does_anything_but_name_a_packing_or_be_refused(table, method, known, tensors):
    config = {"quantization_config": {**known, "quant_method": method, **table}}
    try:
        found = unpacked(config, tensors)
    except BaseModelError:
        return
    for name, packing in found.packings.items():
        codes, bits = tensors[packing.codes], packing.precision.bits
        assert math.prod(found.tensors[name].shape) * bits == math.prod(codes.shape) * BITS[codes.dtype]


def lying(base, **change):
    """The tiny Kimi with one packed tensor other than it says: a dtype and a shape, or None where it is absent."""
    stem = tiny_kimi.expert_name(1, 0, "up_proj")
    tensors = dict(base.tensors)
    for part, kind in change.items():
        name = f"{stem}.weight_{part}"
        if kind is None:
            del tensors[name]
        else:
            tensors[name] = dataclasses.replace(base.tensors[f"{stem}.weight_scale"], dtype=kind[0], shape=kind[1])
    return dataclasses.replace(base, tensors=dict(sorted(tensors.items())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": None}, "weight_packed has no .*up_proj.weight_scale"),
        ({"scale": ("BF16", (64, 5))}, r"not packed as config.json says \(4 bit g32\)"),
        ({"scale": ("U8", (64, 4))}, "not packed as config.json says"),
        ({"packed": ("I32", (32, 32))}, "not packed as config.json says"),
        ({"zero_point": ("I32", (8, 4))}, "zero points"),
        ({"g_idx": ("I32", (128,))}, "order of groups"),
        ({"packed": ("I32", (64, 8)), "scale": ("BF16", (64, 2))}, "All arrays must have the same shape"),
    ],
)
def test_packed_tensors_that_do_not_fit_are_an_error(change, message, tiny_kimi_base, read_folder):
    base = lying(read_folder(tiny_kimi_base), **change)
    with pytest.raises(BaseModelError, match=message):
        layout(base, {}, 1 << 40)


def test_codes_that_an_architecture_would_take_for_weights_are_refused(tiny, read_folder):
    base = read_folder(tiny("llama"))
    name = "model.layers.0.self_attn.q_proj.weight"
    tensors = {**base.tensors, name: dataclasses.replace(base.tensors[name], dtype="F8_E4M3")}
    with pytest.raises(BaseModelError, match=r"self_attn\.q_proj is stored as U8"):
        layout(
            dataclasses.replace(base, tensors=tensors),
            {module.path: Unquantized("bfloat16") for module in modules(base)},
            1 << 40,
        )
