"""What one layer of each kind tells of all of them is what a trace of everything finds."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pipeline.weights import origins as room
from pipeline.weights.architecture import SAFETENSORS, build_model, modules, sanitize_of
from pipeline.weights.families import BaseTensor
from pipeline.weights.layout import layout
from pipeline.weights.origins import origins
from pipeline.weights.slabs import can_slice
from pipeline.weights.trace import leaves, trace

ARCHITECTURES = ["llama", "llama-tied", "gemma", "qwen3_moe", "deepseek_v3", "gpt2", "baichuan_m1"]
LAYERS = {"gpt2": "n_layer"}


@pytest.fixture
def traced(monkeypatch):
    """How many tensors each trace was given."""
    counts: list[int] = []

    def count(sanitize, tensors):
        counts.append(len(tensors))
        return trace(sanitize, tensors)

    monkeypatch.setattr(room, "trace", count)
    return counts


def found(base):
    model = build_model(base.config)
    return origins(model, base)


def expected(base):
    everything = trace(sanitize_of(build_model(base.config)), base.tensors)
    return {
        name: (
            SAFETENSORS[node.dtype],
            node.shape,
            frozenset(base.tensors[leaf].file for leaf in leaves(node)),
            not can_slice(node),
        )
        for name, node in ((name, everything.node(name)) for name in everything.outputs)
    }


def as_tuples(known):
    return {name: dataclasses.astuple(origin) for name, origin in known.items()}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("files", [1, 3])
def test_one_layer_of_each_kind_tells_of_all(name, files, tiny, read_folder, traced):
    base = read_folder(tiny(name, files=files, **{LAYERS.get(name, "num_hidden_layers"): 5}))
    assert as_tuples(found(base)) == expected(base)
    assert len(traced) == 1
    assert traced[0] < len(base.tensors)


def test_a_dtype_that_only_some_layers_have_is_kept(tiny, read_folder):
    base = read_folder(tiny("llama", num_hidden_layers=4))
    changed = "model.layers.2.self_attn.q_proj.weight"
    tensors = {**base.tensors, changed: dataclasses.replace(base.tensors[changed], dtype="F32")}
    known = found(dataclasses.replace(base, tensors=tensors))
    assert {name for name, origin in known.items() if origin.dtype == "F32"} == {changed}


def test_what_stays_in_float32_through_the_cast_is_planned_so(tiny, read_folder):
    base = read_folder(tiny("deepseek_v3", num_hidden_layers=4))
    planned = layout(base, {}, 1 << 30)
    kinds = {tensor.name: tensor.dtype for shard in planned.shards for tensor in shard.tensors}
    wide = {name for name, dtype in kinds.items() if dtype == "F32"}
    assert wide == {f"model.layers.{layer}.mlp.gate.e_score_correction_bias" for layer in (1, 2, 3)}


def in_file_of_its_layer(name, tensor):
    found = re.search(r"layers\.(\d+)\.", name)
    return dataclasses.replace(tensor, file=f"model-{found[1] if found else 'rest'}.safetensors")


def take_from_the_next(names):
    """A sanitize that gives every layer the query weights of the one after it, wherever that is there."""
    pattern = re.compile(r"(?<=layers\.)\d+(?=\.self_attn\.q_proj)")

    def sanitize(self, weights):
        last = self.args.num_hidden_layers - 1
        if names:  # as most architectures do it: by names that have to be there
            for layer in range(last + 1):
                assert weights[f"model.layers.{layer}.self_attn.q_proj.weight"] is not None
        return {
            pattern.sub(lambda number: str((int(number[0]) - 1) % (last + 1)), name): array
            for name, array in weights.items()
        }

    return sanitize


@pytest.mark.parametrize("names", [False, True])
def test_a_sanitize_that_mixes_layers_is_traced_whole(names, tiny, read_folder, traced, monkeypatch):
    from mlx_lm.models import llama

    monkeypatch.setattr(llama.Model, "sanitize", take_from_the_next(names))
    base = read_folder(tiny("llama", num_hidden_layers=4))
    tensors = {name: in_file_of_its_layer(name, tensor) for name, tensor in base.tensors.items()}
    known = found(dataclasses.replace(base, tensors=tensors))
    made = [known[f"model.layers.{layer}.self_attn.q_proj.weight"].files for layer in range(4)]
    assert made == [{f"model-{layer}.safetensors"} for layer in (1, 2, 3, 0)]
    assert known["model.layers.2.mlp.up_proj.weight"].files == {"model-2.safetensors"}
    assert traced[-1] == len(base.tensors)


def pack(base, experts):
    """The same base with its experts packed as compressed-tensors does: four bits, eight weights in an integer."""
    tensors = {}
    for name, tensor in base.tensors.items():
        if not experts(name):
            tensors[name] = tensor
            continue
        (rows, columns), stem = tensor.shape, name.removesuffix("weight")
        tensors[f"{stem}weight_packed"] = BaseTensor("I32", (rows, columns // 8), tensor.file)
        tensors[f"{stem}weight_scale"] = BaseTensor("BF16", (rows, columns // 32), "model-scales.safetensors")
        tensors[f"{stem}weight_shape"] = BaseTensor("I32", (2,), tensor.file)
    weights = {"num_bits": 4, "group_size": 32, "symmetric": True, "strategy": "group", "type": "int"}
    quantization = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": {"weights": weights}},
    }
    config = {**base.config, "quantization_config": quantization}
    return dataclasses.replace(base, config=config, tensors=dict(sorted(tensors.items())))


def test_packed_experts_are_planned_as_what_they_stand_for(tiny, read_folder):
    base = read_folder(tiny("deepseek_v3", num_hidden_layers=4))
    packed = pack(base, lambda name: ".experts." in name)
    assert len(packed.tensors) > len(base.tensors)
    plain, planned = ({module.path: module.shape for module in modules(each)} for each in (base, packed))
    assert plain == planned
    one, other = (layout(each, {}, 1 << 30) for each in (base, packed))
    assert [shard.tensors for shard in one.shards] == [shard.tensors for shard in other.shards]
    expert = found(packed)["model.layers.2.mlp.switch_mlp.up_proj.weight"]
    assert expert.files == {"model.safetensors", "model-scales.safetensors"}
