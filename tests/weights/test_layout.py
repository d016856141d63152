from __future__ import annotations

import dataclasses
import json
import math

import pytest

from pipeline.errors import BaseModelError
from pipeline.release.recipe import Precision, Unquantized
from pipeline.weights.architecture import modules
from pipeline.weights.families import BaseTensor
from pipeline.weights.layout import layout


@pytest.fixture
def base(tiny, read_folder):
    return read_folder(tiny("qwen3_moe", files=2))


def uniform(base, decision):
    return {module.path: decision for module in modules(base)}


def test_the_modules_are_those_that_mlx_lm_quantizes_with_its_wishes(base):
    found = {module.path: module for module in modules(base)}
    assert found["model.layers.1.mlp.switch_mlp.down_proj"].shape == (4, 64, 64)
    assert found["model.layers.1.mlp.switch_mlp.down_proj"].architecture is None
    assert found["model.layers.1.mlp.gate"].architecture == Precision(8, 64)
    assert "model.norm" not in found


def test_a_wish_to_leave_a_module_alone_is_of_the_models_dtype(tiny, read_folder, monkeypatch):
    from mlx_lm.models import llama

    monkeypatch.setattr(
        llama.Model, "quant_predicate", property(lambda _: lambda path, _m: "lm_head" not in path), raising=False
    )
    found = {module.path: module.architecture for module in modules(read_folder(tiny("llama", "F16")))}
    assert found["lm_head"] == Unquantized("float16")
    assert found["model.embed_tokens"] is None


def test_without_a_dtype_in_the_config_the_most_frequent_one_is_the_models(base):
    from pipeline.weights.architecture import model_dtype

    assert model_dtype(base) == "bfloat16"
    config = {key: value for key, value in base.config.items() if key != "torch_dtype"}
    assert model_dtype(dataclasses.replace(base, config=config)) == "bfloat16"
    tensors = {name: dataclasses.replace(tensor, dtype="F32") for name, tensor in base.tensors.items()}
    assert model_dtype(dataclasses.replace(base, config=config, tensors=tensors)) == "float32"


def test_every_quantized_module_has_an_entry_even_when_all_are_alike(base):
    quantization = json.loads(layout(base, uniform(base, Precision(4, 64)), 1 << 30).config)["quantization"]
    entry = {"group_size": 64, "bits": 4, "mode": "affine"}
    assert quantization == {**entry, **dict.fromkeys((module.path for module in modules(base)), entry)}


def test_the_top_entry_is_what_most_weights_have(base):
    decisions = uniform(base, Precision(3, 32)) | {"lm_head": Precision(8, 64), "model.embed_tokens": Precision(8, 64)}
    quantization = json.loads(layout(base, decisions, 1 << 30).config)["quantization"]
    assert (quantization["bits"], quantization["group_size"]) == (3, 32)


def test_a_search_changes_neither_config_nor_sizes(base):
    """The top entry counts searched and rounded weights together: each alone would be fewer than those in 2 bits."""
    ordered = sorted(modules(base), key=lambda module: -math.prod(module.shape))
    dealt = [Precision(2, 64), Precision(3, 64), Precision(3, 64, method="search")]
    searched = {module.path: dealt[index % 3] for index, module in enumerate(ordered)}
    rounded = {path: dataclasses.replace(precision, method="round") for path, precision in searched.items()}
    plain, ours = layout(base, rounded, 1 << 30), layout(base, searched, 1 << 30)
    assert json.loads(ours.config)["quantization"]["bits"] == 3
    assert (ours.config, ours.index, ours.shards[0].header) == (plain.config, plain.index, plain.shards[0].header)
    assert {row.precision for row in ours.classes} > {"2 bit g64", "3 bit g64", "3 bit g64 search"}


def test_a_layer_that_the_common_group_size_does_not_divide_is_quantized_nonetheless(tiny, read_folder):
    """mlx-lm would skip it without a word."""
    base = read_folder(tiny("llama", intermediate_size=96))
    decisions = uniform(base, Precision(4, 64))
    decisions |= {path: Precision(4, 32) for path in decisions if path.endswith("down_proj")}
    planned = layout(base, decisions, 1 << 30)
    assert json.loads(planned.config)["quantization"]["model.layers.0.mlp.down_proj"]["group_size"] == 32
    assert "model.layers.0.mlp.down_proj.scales" in json.loads(planned.index)["weight_map"]


def test_an_impossible_group_size_is_an_error(tiny, read_folder):
    base = read_folder(tiny("llama", intermediate_size=96))
    with pytest.raises(BaseModelError, match="mlx cannot quantize this model as the recipe says"):
        layout(base, uniform(base, Precision(4, 64)), 1 << 30)


def test_classes_count_every_weight_and_every_byte_once(base):
    decisions = uniform(base, Precision(4, 64)) | {"lm_head": Unquantized("float32")}
    divided, single = layout(base, decisions, 5000), layout(base, decisions, 1 << 30)
    assert divided.classes == single.classes
    assert sum(row.nbytes for row in single.classes) == single.nbytes
    assert sum(row.parameters for row in single.classes) == single.parameters
    rows = {row.name: row for row in single.classes}
    assert (rows["switch_mlp.down_proj"].precision, rows["switch_mlp.down_proj"].parameters) == (
        "4 bit g64",
        4 * 64 * 64,
    )
    assert (rows["lm_head"].precision, rows["lm_head"].nbytes) == ("float32", 96 * 64 * 4)
    assert rows["input_layernorm"].precision == "bfloat16"


def test_a_shard_needs_only_the_files_behind_its_tensors(base):
    planned = layout(base, uniform(base, Precision(4, 64)), 3000)
    everything = {tensor.file for tensor in base.tensors.values()}
    assert {file for shard in planned.shards for file in planned.needs(shard)} == everything
    for shard in planned.shards:
        assert planned.needs(shard)
        if shard.pieces[0].parameter == "model.embed_tokens.weight":
            assert planned.needs(shard) == {base.tensors["model.embed_tokens.weight"].file}


def test_incomplete_weights_are_an_error(base):
    tensors = {name: tensor for name, tensor in base.tensors.items() if name != "model.norm.weight"}
    with pytest.raises(BaseModelError, match=r"not those of a qwen3_moe: Missing 1 parameters: model\.norm\.weight"):
        layout(dataclasses.replace(base, tensors=tensors), {}, 1 << 30)


def test_weights_of_another_shape_are_an_error(base):
    tensors = {**base.tensors, "model.norm.weight": BaseTensor("BF16", (65,), "model-00001-of-00002.safetensors")}
    with pytest.raises(BaseModelError, match=r"Expected shape \(64,\) but received shape \(65,\)"):
        layout(dataclasses.replace(base, tensors=tensors), {}, 1 << 30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_file": "own.py"}, r"brings its own model code \(own\.py\)"),
        ({"model_type": "no_such_model"}, "cannot build the model type 'no_such_model'"),
        ({"hidden_size": None}, "cannot build the model type 'qwen3_moe'"),
    ],
)
def test_what_cannot_be_quantized_is_refused_by_name(change, message, base):
    with pytest.raises(BaseModelError, match=message) as caught:
        modules(dataclasses.replace(base, config={**base.config, **change}))
    assert caught.value.hint


def test_a_config_without_a_model_type_is_refused(base):
    config = {key: value for key, value in base.config.items() if key != "model_type"}
    with pytest.raises(BaseModelError, match="names no model_type"):
        modules(dataclasses.replace(base, config=config))
