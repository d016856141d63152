"""Errors of precisions against mlx on the whole matrices, and sizes against what would be written."""

from __future__ import annotations

import json
import math

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from pipeline.errors import BaseModelError
from pipeline.release.recipe import Precision, Unquantized
from pipeline.weights.architecture import modules
from pipeline.weights.distortion import Measured, by_class, measure, nbytes
from pipeline.weights.layout import layout

PRECISIONS = [Precision(2), Precision(4, 32), Precision(8), Precision(4, 32, "mxfp4")]
SHARD = 60_000


def whole_error(weight, precision):
    arguments = (precision.group_size, precision.bits, precision.mode)
    codes, scales, *biases = mx.quantize(weight, *arguments)
    again = mx.dequantize(codes, scales, biases[0] if biases else None, *arguments).astype(mx.float32)
    exact = weight.astype(mx.float32)
    return (mx.sum(mx.square(exact - again)) / mx.sum(mx.square(exact))).item()


def measured_of(folder, base, tmp_path, precisions, name="distortion.json"):
    measured = Measured(tmp_path / name, base.repo, base.revision)
    seen = []
    wanted = {module.path: precisions for module in modules(base)}
    measure(layout(base, {}, SHARD), folder, wanted, measured, advance=seen.append)
    return measured, sum(seen)


@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3", "gpt2", "baichuan_m1"])
def test_errors_are_those_of_the_whole_matrices(architecture, tiny, read_folder, tmp_path):
    from mlx_lm.utils import load_model

    folder = tiny(architecture, files=2)
    base = read_folder(folder)
    measured, seen = measured_of(folder, base, tmp_path, PRECISIONS)
    weights = dict(tree_flatten(load_model(folder, lazy=True)[0].parameters()))
    for module in modules(base):
        for precision in PRECISIONS:
            expected = whole_error(weights[f"{module.path}.weight"], precision)
            assert measured.error(module.path, precision) == pytest.approx(expected, rel=1e-4), (module.path, precision)
    assert seen == sum(weights[f"{module.path}.weight"].size for module in modules(base))


def test_a_matrix_of_many_slabs_is_added_up(tiny, read_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.weights.slabs.SLAB_BYTES", 2048)
    folder = tiny("llama")
    base = read_folder(folder)
    measured, _ = measured_of(folder, base, tmp_path, [Precision(3)])
    weight = mx.load(str(folder / "model.safetensors"))["model.layers.1.mlp.down_proj.weight"]
    error = measured.error("model.layers.1.mlp.down_proj", Precision(3))
    assert error == pytest.approx(whole_error(weight, Precision(3)), rel=1e-4)


def test_what_is_measured_is_kept_and_only_the_rest_is_read_again(tiny, read_folder, tmp_path):
    folder = tiny("llama", files=2)
    base = read_folder(folder)
    first, seen = measured_of(folder, base, tmp_path, [Precision(2), Precision(4)])
    assert seen
    second, again = measured_of(tmp_path / "absent", base, tmp_path, [Precision(4)])
    assert again == 0
    assert second.error("lm_head", Precision(4)) == first.error("lm_head", Precision(4))
    _, more = measured_of(folder, base, tmp_path, [Precision(4), Precision(8)])
    assert more == seen
    content = json.loads((tmp_path / "distortion.json").read_text())
    assert set(content["errors"]["lm_head"]) == {"2 bit g64", "4 bit g64", "8 bit g64"}


def test_a_file_without_the_size_of_the_weights_is_completed(tiny, read_folder, tmp_path):
    folder = tiny("llama")
    base = read_folder(folder)
    first, seen = measured_of(folder, base, tmp_path, [Precision(4)])
    path = tmp_path / "distortion.json"
    content = json.loads(path.read_text())
    del content["squares"]["lm_head"]
    path.write_text(json.dumps(content))
    second, again = measured_of(folder, base, tmp_path, [Precision(4)])
    assert 0 < again < seen
    assert second.squares("lm_head") == first.squares("lm_head")


def test_a_search_loses_less_than_plain_rounding(tiny, read_folder, tmp_path):
    folder = tiny("llama")
    precisions = [Precision(3), Precision(3, method="search")]
    measured, _ = measured_of(folder, read_folder(folder), tmp_path, precisions)
    plain, searched = (measured.error("lm_head", precision) for precision in precisions)
    assert 0.5 * plain < searched < 0.95 * plain


def test_a_class_is_one_vector_of_all_its_weights(tiny, read_folder, tmp_path):
    folder = tiny("llama")
    base = read_folder(folder)
    weights = mx.load(str(folder / "model.safetensors"))
    measured, _ = measured_of(folder, base, tmp_path, [Precision(2), Precision(8)])
    few, many = "model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"
    decisions = {few: Precision(2), many: Precision(8), "lm_head": Unquantized("bfloat16")}
    lost = whole = 0.0
    for path, precision in ((few, Precision(2)), (many, Precision(8))):
        size = mx.sum(mx.square(weights[f"{path}.weight"].astype(mx.float32))).item()
        lost += size * whole_error(weights[f"{path}.weight"], precision)
        whole += size
    expected = pytest.approx(math.sqrt(lost / whole), rel=1e-4)
    assert by_class(decisions, measured) == {"mlp.down_proj": expected, "": expected}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"repo": "someone/model", "revision": "other", "errors": {}}'])
def test_a_file_of_another_base_counts_as_empty(content, tiny, read_folder, tmp_path):
    (tmp_path / "distortion.json").write_text(content)
    folder = tiny("llama")
    _, seen = measured_of(folder, read_folder(folder), tmp_path, [Precision(4)])
    assert seen


def test_a_weight_that_is_not_finite_is_refused(tiny, read_folder, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    source = tiny("llama")
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = mx.load(str(source / "model.safetensors"))
    weights["lm_head.weight"] = mx.full(weights["lm_head.weight"].shape, float("nan"), dtype=mx.bfloat16)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    with pytest.raises(BaseModelError, match=r"lm_head\.weight holds values that are not finite"):
        measured_of(folder, read_folder(folder), tmp_path, [Precision(4)])


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe"])
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
@pytest.mark.parametrize("decision", [*PRECISIONS, Precision(3), Unquantized("float16")], ids=str)
def test_sizes_are_those_that_are_written(architecture, dtype, decision, tiny, read_folder):
    base = read_folder(tiny(architecture, dtype))
    every = [module for module in modules(base) if module.path.endswith(("mlp.gate_proj", "down_proj", "lm_head"))]
    plain, planned = layout(base, {}, SHARD), layout(base, {module.path: decision for module in every}, SHARD)
    whole = sum(
        nbytes(module.shape, dtype, Unquantized({"BF16": "bfloat16", "F32": "float32"}[dtype])) for module in every
    )
    asked = sum(nbytes(module.shape, dtype, decision) for module in every)
    assert planned.nbytes - plain.nbytes == asked - whole


def test_packed_experts_are_measured_unpacked_and_lose_nothing_where_they_are_kept(
    tiny_kimi_base, read_folder, tmp_path
):
    base = read_folder(tiny_kimi_base)
    measured, _ = measured_of(tiny_kimi_base, base, tmp_path, [Precision(2, 32), Precision(4, 32), Precision(8, 32)])
    experts = [module.path for module in modules(base) if "switch_mlp" in module.path]
    assert experts
    for path in experts:
        assert measured.error(path, Precision(4, 32)) == 0
        assert 0.01 < measured.error(path, Precision(2, 32)) < 0.5
        assert 0 < measured.error(path, Precision(8, 32)) < 1e-3
