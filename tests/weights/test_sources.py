"""Bases that are quantized already: what comes out is what mlx makes of their weights, unpacked here by numpy alone."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
import pytest
import tiny_kimi
from mlx.utils import tree_flatten
from mlx_lm import generate, load
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

from pipeline.errors import BaseModelError
from pipeline.release.recipe import Precision, Unquantized
from pipeline.weights import slabs
from pipeline.weights.architecture import modules
from pipeline.weights.layout import layout
from pipeline.weights.quantizer import write_shard
from pipeline.weights.side_files import side_files, write_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE = 1 << 40
EXPERT = re.compile(r"language_model\.model\.layers\.(\d+)\.mlp\.switch_mlp\.(\w+)\.weight")
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 4000)


def decide(base, choose):
    return {module.path: choose(module.path) for module in modules(base)}


def stream(base, folder, target, decisions):
    planned = layout(base, decisions, WHOLE)
    target.mkdir()
    for shard in planned.shards:
        write_shard(planned, shard, folder, target / shard.name)
    write_texts(planned, target)
    for file in side_files(base.files):
        shutil.copy(folder / file.path, target)
    return planned


def convert(folder, target, decisions, planned):
    """mlx-lm's own steps for the same decisions, without the tokenizer."""
    model, config = load_model(folder, lazy=True)
    dtype = getattr(mx, config.get("torch_dtype") or config["text_config"]["dtype"])
    keep = getattr(model, "cast_predicate", lambda _name: True)
    cast = {
        name: array.astype(dtype)
        for name, array in tree_flatten(model.parameters())
        if keep(name) and mx.issubdtype(array.dtype, mx.floating)
    }
    model.load_weights(list(cast.items()), strict=False)
    top = json.loads(planned.config)["quantization"]

    def predicate(path, _module):
        decision = decisions[path]
        return False if isinstance(decision, Unquantized) else decision.to_json()

    model, config = quantize_model(model, config, top["group_size"], top["bits"], top["mode"], False, predicate)
    save_model(target, model)
    save_config(config, target / "config.json")


def read(folder) -> dict[str, mx.array]:
    tensors: dict[str, mx.array] = {}
    for file in folder.glob("model*.safetensors"):
        tensors.update(mx.load(str(file)))
    return tensors


def assert_same_bits(ours: Mapping[str, mx.array], theirs: Mapping[str, mx.array]) -> None:
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
        assert np.array_equal(bits_of(ours[name]), bits_of(array)), name


def bits_of(array: mx.array) -> np.ndarray:
    return np.array(array.reshape(-1).view(mx.uint8))


def float32(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32))


def codes_of(words: mx.array, bits: int) -> np.ndarray:
    """mlx's codes lie one after another in the bits of a row, the lowest first."""
    array = np.ascontiguousarray(np.array(words))
    stretch = np.unpackbits(array.view(np.uint8), axis=-1, bitorder="little")
    numbers = stretch.reshape(*array.shape[:-1], -1, bits)
    return (numbers << np.arange(bits, dtype=np.uint8)).sum(-1).astype(np.float32)


def affine(words: mx.array, scales: mx.array, biases: mx.array, bits: int) -> np.ndarray:
    groups = scales.shape[-1]
    numbers = codes_of(words, bits).reshape(*words.shape[:-1], groups, -1)
    return (numbers * float32(scales)[..., None] + float32(biases)[..., None]).reshape(*words.shape[:-1], -1)


def weight_of(kimi_expert: str) -> np.ndarray:
    """A packed expert of the tiny Kimi, from the numbers that its file was made of."""
    shape = tiny_kimi.expert_shapes()[kimi_expert.rpartition(".")[2]]
    codes, scales = tiny_kimi.packed(kimi_expert, shape)
    factors = (scales.astype(np.uint32) << 16).view(np.float32)
    numbers = codes.astype(np.float32).reshape(shape[0], -1, tiny_kimi.GROUP)
    return ((numbers - 8) * factors[..., None]).reshape(shape)


def stacked(layer: int, projection: str) -> np.ndarray:
    names = (tiny_kimi.expert_name(layer, expert, projection) for expert in range(tiny_kimi.EXPERTS))
    return np.stack([weight_of(name) for name in names])


@pytest.fixture(scope="module")
def plain_kimi(tiny_kimi_base, tmp_path_factory):
    """The same Kimi as if it had been published in bfloat16: what mlx-lm can quantize."""
    folder = tmp_path_factory.mktemp("plain") / "kimi"
    shutil.copytree(tiny_kimi_base, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.index.json"))
    tensors = read(tiny_kimi_base)
    for name in [name for name in tensors if name.endswith("_packed")]:
        stem = name.removesuffix(".weight_packed")
        tensors[f"{stem}.weight"] = mx.array(weight_of(stem)).astype(mx.bfloat16)
        for part in ("packed", "scale", "shape"):
            del tensors[f"{stem}.weight_{part}"]
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    config = json.loads((folder / "config.json").read_text())
    del config["text_config"]["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def two_and_a_half_bits(path: str) -> Precision:
    if path.endswith("lm_head"):
        return Precision(8)
    if path.endswith("embed_tokens"):
        return Precision(4)
    if "switch_mlp" in path:
        return Precision(3 if path.endswith("down_proj") and ".layers.2." not in path else 2)
    return Precision(8)


def test_packed_experts_are_quantized_again_as_mlx_quantizes_what_they_stand_for(
    tiny_kimi_base, plain_kimi, read_folder, tmp_path
):
    base = read_folder(tiny_kimi_base)
    decisions = decide(base, two_and_a_half_bits)
    planned = stream(base, tiny_kimi_base, tmp_path / "ours", decisions)
    convert(plain_kimi, tmp_path / "theirs", decisions, planned)
    assert_same_bits(read(tmp_path / "ours"), read(tmp_path / "theirs"))
    for text in ("config.json", "model.safetensors.index.json"):
        assert json.loads((tmp_path / "ours" / text).read_text()) == json.loads(
            (tmp_path / "theirs" / text).read_text()
        )
    assert not planned.whole


def test_no_expert_is_left_at_four_bits_and_nothing_speaks_of_the_packing(tiny_kimi_base, read_folder, tmp_path):
    base = read_folder(tiny_kimi_base)
    shapes = {module.path: module.shape for module in modules(base)}
    assert shapes["language_model.model.layers.1.mlp.switch_mlp.down_proj"] == (4, 128, 64)
    assert shapes["language_model.model.layers.3.mlp.switch_mlp.up_proj"] == (4, 64, 128)
    planned = stream(base, tiny_kimi_base, tmp_path / "ours", decide(base, two_and_a_half_bits))
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert "quantization_config" not in config["text_config"]
    assert "compressed-tensors" not in planned.config
    experts = {path: entry["bits"] for path, entry in config["quantization"].items() if "switch_mlp" in path}
    assert len(experts) == 3 * (tiny_kimi.LAYERS - 1)
    assert set(experts.values()) == {2, 3}
    for path, bits in experts.items():
        words = read(tmp_path / "ours")[f"{path}.weight"]
        assert words.shape[-1] * 32 == shapes[path][-1] * bits
    assert not [name for name in read(tmp_path / "ours") if re.search("packed|vision|mm_projector", name)]


def test_stock_mlx_lm_opens_the_quantized_kimi_and_generates(tiny_kimi_base, read_folder, tmp_path):
    base = read_folder(tiny_kimi_base)
    stream(base, tiny_kimi_base, tmp_path / "ours", decide(base, two_and_a_half_bits))
    names = {path.name for path in (tmp_path / "ours").iterdir()}
    assert names >= {
        "tiktoken.model",
        "tokenization_kimi.py",
        "chat_template.jinja",
        "LICENSE",
        "THIRD_PARTY_NOTICES.md",
    }
    model, tokenizer = load(str(tmp_path / "ours"), tokenizer_config={"trust_remote_code": True})
    assert type(model.language_model.model.layers[1].mlp.switch_mlp.up_proj).__name__ == "QuantizedSwitchLinear"
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "the thing"}], add_generation_prompt=True)
    assert generate(model, tokenizer, prompt=prompt, max_tokens=4)


def lossless(path: str):
    return Precision(4, 32) if "switch_mlp" in path else Unquantized("bfloat16")


def test_a_packing_that_is_asked_for_again_keeps_every_code(tiny_kimi_base, read_folder, tmp_path):
    base = read_folder(tiny_kimi_base)
    stream(base, tiny_kimi_base, tmp_path / "ours", decide(base, lossless))
    ours = read(tmp_path / "ours")
    for name in (name for name in ours if EXPERT.fullmatch(name)):
        layer, projection = EXPERT.fullmatch(name).groups()
        scales, biases = (ours[name.replace(".weight", f".{part}")] for part in ("scales", "biases"))
        assert np.array_equal(float32(biases), -8 * float32(scales))
        assert np.array_equal(affine(ours[name], scales, biases, 4), stacked(int(layer), projection))
    model, _ = load_model(tiny_kimi_base)
    assert_same_bits(ours, dict(tree_flatten(model.parameters())))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_packed_module_that_is_left_unquantized_has_the_dtype_asked_for(dtype, tiny_kimi_base, read_folder, tmp_path):
    base = read_folder(tiny_kimi_base)
    decisions = decide(base, lambda path: Unquantized(dtype if "switch_mlp.up" in path else "bfloat16"))
    planned = stream(base, tiny_kimi_base, tmp_path / "ours", decisions)
    ours = read(tmp_path / "ours")
    for name, array in ours.items():
        if found := EXPERT.fullmatch(name):
            wanted = mx.array(stacked(int(found[1]), found[2])).astype(
                getattr(mx, dtype if found[2] == "up_proj" else "bfloat16")
            )
            assert_same_bits({name: array}, {name: wanted})
    assert "quantization" not in json.loads(planned.config)


def by_mlx(folder, target, precision: Precision, dtype: str = "bfloat16"):
    """A model as mlx-lm publishes it."""
    model, config = load_model(folder, lazy=True)
    model.load_weights([(name, array.astype(getattr(mx, dtype))) for name, array in tree_flatten(model.parameters())])
    config["torch_dtype"] = dtype
    model, config = quantize_model(model, config, precision.group_size, precision.bits, precision.mode)
    save_model(target, model)
    save_config(config, target / "config.json")
    return target


def as_numbers(tensors: Mapping[str, mx.array], precision: Precision, path: str) -> np.ndarray:
    words, scales = tensors[f"{path}.weight"], tensors[f"{path}.scales"]
    if precision.mode == "affine":
        return affine(words, scales, tensors[f"{path}.biases"], precision.bits)
    factors = np.exp2(np.array(scales).astype(np.float32) - 127)[..., None]
    return (FP4[codes_of(words, 4).astype(int)].reshape(*factors.shape[:-1], 32) * factors).reshape(
        *words.shape[:-1], -1
    )


@pytest.mark.parametrize(
    "case",
    [
        ("llama", Precision(4), "bfloat16"),
        ("qwen3_moe", Precision(8, 32), "float16"),
        ("llama", Precision(3), "bfloat16"),
        ("llama", Precision(5, 32), "float32"),
        ("llama", Precision(6), "bfloat16"),
        ("llama-tied", Precision(4, 32, "mxfp4"), "bfloat16"),
    ],
)
def test_a_model_that_mlx_lm_quantized_is_quantized_again_from_its_exact_numbers(case, tiny, read_folder, tmp_path):
    name, packing, dtype = case
    source = by_mlx(tiny(name), tmp_path / "source", packing, dtype)
    base, stored = read_folder(source), read(source)
    decisions = decide(base, lambda path: Unquantized(dtype) if path.endswith("v_proj") else Precision(2))
    stream(base, source, tmp_path / "ours", decisions)
    ours = read(tmp_path / "ours")
    for path, decision in decisions.items():
        numbers = mx.array(as_numbers(stored, packing, path)).astype(getattr(mx, dtype))
        wanted = [numbers] if isinstance(decision, Unquantized) else mx.quantize(numbers, 64, 2)
        parts = [f"{path}.{part}" for part, _ in zip(("weight", "scales", "biases"), wanted, strict=False)]
        assert_same_bits({part: ours[part] for part in parts}, dict(zip(parts, wanted, strict=True)))
    load_model(tmp_path / "ours")


@pytest.mark.parametrize("packing", [Precision(4), Precision(3), Precision(6, 32), Precision(4, 32, "mxfp4")])
def test_the_precision_that_a_model_has_already_changes_nothing(packing, tiny, read_folder, tmp_path):
    source = by_mlx(tiny("qwen3_moe"), tmp_path / "source", packing)
    base = read_folder(source)
    kept = {path for path in json.loads((source / "config.json").read_text())["quantization"] if "." in path}
    other = {path: Precision(8) for path in kept if path.endswith("mlp.gate")}
    decisions = decide(base, lambda path: other.get(path, packing))
    stream(base, source, tmp_path / "ours", decisions)
    assert_same_bits(read(tmp_path / "ours"), read(source))


def test_blocks_of_fp8_are_undone_by_the_architecture(tiny, read_folder, tmp_path):
    """As DeepSeek publishes them; mlx-lm quantizes those itself, so its result is the reference."""
    sizes = {"hidden_size": 256, "intermediate_size": 320, "moe_intermediate_size": 192}
    plain = tiny("deepseek_v3", **sizes, torch_dtype="bfloat16")
    folder = tmp_path / "fp8"
    shutil.copytree(plain, folder)
    tensors = read(plain)
    for name in [name for name in tensors if re.search(r"proj\w*\.weight$", name)]:
        rows, columns = tensors[name].shape
        blocks = (-(-rows // 128), -(-columns // 128))
        tensors[f"{name}_scale_inv"] = mx.random.uniform(0.5, 2, blocks, key=mx.random.key(len(name)))
        tensors[name] = mx.to_fp8(tensors[name])
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
    (folder / "config.json").write_text(json.dumps(config))
    base = read_folder(folder)
    decisions = decide(base, lambda _path: Precision(4))
    planned = stream(base, folder, tmp_path / "ours", decisions)
    convert(folder, tmp_path / "theirs", decisions, planned)
    assert_same_bits(read(tmp_path / "ours"), read(tmp_path / "theirs"))
    assert not planned.whole


GPT_OSS = {
    "model_type": "gpt_oss",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "vocab_size": 96,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 64,
    "rope_theta": 150000,
    "rope_scaling": None,
    "layer_types": ["sliding_attention", "full_attention"],
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
}


def test_mxfp4_experts_of_gpt_oss_are_quantized_again(read_folder, tmp_path):
    from mlx_lm.models.gpt_oss import Model, ModelArgs

    folder = tmp_path / "oss"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(GPT_OSS))
    random = np.random.default_rng(1)
    tensors = {
        name: mx.random.normal(array.shape, key=mx.random.key(len(name))).astype(mx.bfloat16)
        for name, array in tree_flatten(Model(ModelArgs.from_dict(GPT_OSS)).parameters())
        if not re.search(r"experts\.\w+_proj\.weight|experts\.(gate|up)_proj", name)
    }
    numbers: dict[str, np.ndarray] = {}
    for layer in range(2):
        prefix = f"model.layers.{layer}.mlp.experts."
        tensors[f"{prefix}down_proj_bias"] = tensors.pop(f"{prefix}down_proj.bias")
        tensors[f"{prefix}gate_up_proj_bias"] = mx.zeros((4, 192), dtype=mx.bfloat16)
        for name, rows, columns in (("gate_up_proj", 192, 64), ("down_proj", 64, 96)):
            blocks = random.integers(0, 256, (4, rows, columns // 32, 16), np.uint8)
            scales = random.integers(118, 126, (4, rows, columns // 32), np.uint8)
            tensors[f"{prefix}{name}_blocks"], tensors[f"{prefix}{name}_scales"] = mx.array(blocks), mx.array(scales)
            nibbles = np.stack([blocks & 15, blocks >> 4], -1).reshape(4, rows, columns // 32, 32)
            values = FP4[nibbles] * np.exp2(scales.astype(np.float32) - 127)[..., None]
            numbers[f"{prefix}{name}"] = values.reshape(4, rows, columns)
        both = numbers.pop(f"{prefix}gate_up_proj")
        numbers[f"{prefix}gate_proj"], numbers[f"{prefix}up_proj"] = both[:, ::2], both[:, 1::2]
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)

    base = read_folder(folder)
    decisions = decide(base, lambda path: Precision(3, 32) if "up_proj" in path else Precision(4, 32, "mxfp4"))
    planned = stream(base, folder, tmp_path / "ours", decisions)
    ours = read(tmp_path / "ours")
    theirs = dict(tree_flatten(load_model(folder)[0].parameters()))
    for path, values in numbers.items():
        if "up_proj" in path:
            words, scales, biases = mx.quantize(mx.array(values).astype(mx.bfloat16), 32, 3)
            wanted = {f"{path}.weight": words, f"{path}.scales": scales, f"{path}.biases": biases}
        else:
            wanted = {f"{path}.weight": theirs[f"{path}.weight"], f"{path}.scales": theirs[f"{path}.scales"]}
        assert_same_bits({name: ours[name] for name in wanted}, wanted)
    assert not planned.whole
    load_model(tmp_path / "ours")


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
        layout(base, decide(base, two_and_a_half_bits), WHOLE)


def test_codes_that_an_architecture_would_take_for_weights_are_refused(tiny, read_folder):
    base = read_folder(tiny("llama"))
    name = "model.layers.0.self_attn.q_proj.weight"
    tensors = {**base.tensors, name: dataclasses.replace(base.tensors[name], dtype="F8_E4M3")}
    with pytest.raises(BaseModelError, match=r"self_attn\.q_proj is stored as U8"):
        layout(dataclasses.replace(base, tensors=tensors), decide(base, lambda _path: Unquantized("bfloat16")), WHOLE)
