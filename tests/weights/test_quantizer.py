from __future__ import annotations

import dataclasses
import errno
import hashlib
import itertools
import json
import os
import re
import resource
import threading
from typing import TYPE_CHECKING

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest

from pipeline.errors import BaseModelError, Interrupted, PipelineError, WorkspaceError
from pipeline.release.recipe import Precision, Unquantized
from pipeline.weights import quantizer, slabs
from pipeline.weights.architecture import modules
from pipeline.weights.boxes import slices, whole
from pipeline.weights.layout import Layout, layout
from pipeline.weights.quantizer import write_shard
from pipeline.weights.side_files import write_texts
from pipeline.weights.slabs import slab
from pipeline.weights.source import load_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.release.recipe import Decision

WHOLE = 1 << 40


def mixed(base) -> dict[str, Decision]:
    """Embeddings 8 bit, attention 6, one projection left alone, the rest 4: every kind of decision."""

    def decide(path: str) -> Decision:
        if re.search(r"embed|wte|lm_head", path):
            return Precision(8, 64)
        if re.search(r"attn", path):
            return Precision(6, 32)
        if re.search(r"layers\.1\.mlp\.up_proj", path):
            return Unquantized(base.config["torch_dtype"])
        return Precision(4, 64)

    return {module.path: decide(module.path) for module in modules(base)}


def write_all(planned: Layout, folder: Path, target: Path) -> None:
    target.mkdir()
    for shard in planned.shards:
        counted: list[int] = []
        digest = write_shard(planned, shard, folder, target / shard.name, advance=counted.append)
        content = (target / shard.name).read_bytes()
        assert digest == hashlib.sha256(content).hexdigest()
        assert sum(counted) == shard.size == len(content)
    write_texts(planned, target)


def convert(folder: Path, target: Path, decisions: Mapping[str, Decision], planned: Layout) -> None:
    """mlx-lm's own result for the same decisions; its defaults are what our config.json puts on top."""

    def predicate(path: str, _module: object) -> bool | dict:
        decision = decisions[path]
        if isinstance(decision, Unquantized):
            return False
        return {"group_size": decision.group_size, "bits": decision.bits, "mode": decision.mode}

    top = json.loads(planned.config).get("quantization", {})
    mlx_lm.convert(
        str(folder),
        str(target),
        quantize=bool(top),
        q_group_size=top.get("group_size"),
        q_bits=top.get("bits"),
        q_mode=top.get("mode", "affine"),
        quant_predicate=predicate,
    )


def load(folder: Path) -> dict[str, mx.array]:
    tensors: dict[str, mx.array] = {}
    for file in folder.glob("model*.safetensors"):
        tensors.update(mx.load(str(file)))
    return tensors


def assert_same_bits(ours: Mapping[str, mx.array], theirs: Mapping[str, mx.array]) -> None:
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype, name
        assert ours[name].shape == array.shape, name
        assert np.array_equal(bits_of(ours[name]), bits_of(array)), name


def bits_of(array: mx.array) -> np.ndarray:
    return np.array(array.reshape(-1).view(mx.uint8))


ARCHITECTURES = ["llama", "llama-tied", "gemma", "qwen3_moe", "deepseek_v3", "gpt2", "baichuan_m1"]


@pytest.mark.parametrize("case", [*((name, "BF16") for name in ARCHITECTURES), ("qwen3_moe", "F32"), ("llama", "F16")])
def test_output_is_what_mlx_lm_writes(case, tiny, read_folder, tmp_path, monkeypatch):
    name, dtype = case
    monkeypatch.setattr(slabs, "SLAB_BYTES", 4000)  # so that a tiny tensor takes many slabs
    folder = tiny(name, dtype)
    base = read_folder(folder)
    decisions = mixed(base)
    planned = layout(base, decisions, WHOLE)
    write_all(planned, folder, tmp_path / "ours")
    convert(folder, tmp_path / "theirs", decisions, planned)
    assert_same_bits(load(tmp_path / "ours"), load(tmp_path / "theirs"))
    for text in ("config.json", "model.safetensors.index.json"):
        assert (tmp_path / "ours" / text).read_text() == (tmp_path / "theirs" / text).read_text()
    assert planned.whole == ({"lm_head.weight"} if name == "baichuan_m1" else frozenset())


def test_bits_per_weight_and_parameters_are_what_mlx_lm_counts(tiny, read_folder, tmp_path):
    folder = tiny("qwen3_moe")
    base = read_folder(folder)
    planned = layout(base, mixed(base), WHOLE)
    write_all(planned, folder, tmp_path / "ours")
    model, _ = mlx_lm.utils.load_model(tmp_path / "ours")
    assert planned.bits_per_weight == mlx_lm.utils.compute_bits_per_weight(model)
    assert planned.parameters == mlx_lm.utils.get_total_parameters(model)


@pytest.mark.parametrize("precision", [Precision(4, 32, "mxfp4"), Precision(4, 16, "nvfp4"), Precision(8, 32, "mxfp8")])
def test_every_mode_is_written_as_mlx_lm_writes_it(precision, tiny, read_folder, tmp_path):
    folder = tiny("llama")
    base = read_folder(folder)
    decisions = {module.path: precision for module in modules(base)}
    planned = layout(base, decisions, WHOLE)
    write_all(planned, folder, tmp_path / "ours")
    convert(folder, tmp_path / "theirs", decisions, planned)
    assert_same_bits(load(tmp_path / "ours"), load(tmp_path / "theirs"))


@pytest.mark.parametrize("name", ["llama-tied", "deepseek_v3"])
def test_searched_weights_are_a_model_that_mlx_lm_loads(name, tiny, read_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 4000)
    folder = tiny(name)
    base = read_folder(folder)
    lost = {}
    for method in ("round", "search"):
        decisions = {module.path: Precision(3, 64, method=method) for module in modules(base)}
        planned = layout(base, decisions, WHOLE)
        write_all(planned, folder, tmp_path / method)
        model, config = mlx_lm.utils.load_model(tmp_path / method)
        assert config["quantization"]["bits"] == 3
        assert mx.isfinite(model(mx.array([[1, 2, 3]]))).all()
        graphs = planned.graphs(planned.shards[0])
        for piece in planned.shards[0].pieces:
            if piece.precision:
                weight = slab(graphs[piece.parameter], reader(folder), whole(piece.shape))
                quantized = (load(tmp_path / method)[part.name] for part in piece.parts)
                error = mx.dequantize(*quantized, 64, 3).astype(mx.float32) - weight.astype(mx.float32)
                lost[method, piece.parameter] = mx.square(error).sum().item()
    searched = [name for method, name in lost if method == "search"]
    assert all(lost["search", name] < 0.85 * lost["round", name] for name in searched)
    assert any("mlp" in name for name in searched)


def reader(folder: Path):
    tensors = load(folder)
    return lambda leaf, box: tensors[leaf.arguments[0]][slices(box)]


def test_many_shards_of_many_files_hold_the_same_tensors(tiny, read_folder, tmp_path):
    """Shards so small that a module's weight and scales fall into different ones."""
    one, several = tiny("deepseek_v3"), tiny("deepseek_v3", files=3)
    base = read_folder(one)
    single = layout(base, mixed(base), WHOLE)
    divided = layout(read_folder(several), mixed(base), 6000)
    assert len(divided.shards) > 10
    assert any(len(divided.needs(shard)) < 3 for shard in divided.shards)
    write_all(single, one, tmp_path / "one")
    write_all(divided, several, tmp_path / "many")
    assert_same_bits(load(tmp_path / "many"), load(tmp_path / "one"))
    weight_map = json.loads(divided.index)["weight_map"]
    for file in {*weight_map.values()}:
        held = mx.load(str(tmp_path / "many" / file))
        assert held.keys() == {name for name, where in weight_map.items() if where == file}


def test_a_recipe_without_quantization_casts_only(tiny, read_folder, tmp_path):
    folder = tiny("gemma", "F32")
    base = read_folder(folder)
    decisions = {module.path: Unquantized("float16") for module in modules(base)}
    planned = layout(base, decisions, WHOLE)
    write_all(planned, folder, tmp_path / "ours")
    for name, array in load(tmp_path / "ours").items():
        assert array.dtype == (mx.float32 if "norm" in name else mx.float16), name
    assert "quantization" not in json.loads(planned.config)


def test_the_result_does_not_depend_on_the_number_of_threads(tiny, read_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 2000)
    folder = tiny("qwen3_moe")
    base = read_folder(folder)
    planned = layout(base, mixed(base), WHOLE)
    (shard,) = planned.shards
    digests = {
        write_shard(planned, shard, folder, tmp_path / f"{threads}.safetensors", threads=threads)
        for threads in (1, 2, 5)
    }
    assert len(digests) == 1


@pytest.fixture
def looking(monkeypatch):
    """An architecture, registered as mlx-lm's own are, whose `sanitize` looks at values, to copy a Llama into."""
    import sys
    import types

    from mlx_lm.models import llama

    class Model(llama.Model):
        def sanitize(self, weights):
            weights = super().sanitize(weights)
            if mx.any(weights["model.norm.weight"] > 0).item():
                weights["model.norm.weight"] = weights["model.norm.weight"] * 2
            return weights

    module = types.ModuleType("mlx_lm.models.looks_at_values")
    module.Model, module.ModelArgs = Model, llama.ModelArgs
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def copy(source: Path, folder: Path) -> Path:
        folder.mkdir()
        for path in source.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        config = json.loads((folder / "config.json").read_text()) | {"model_type": "looks_at_values"}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return copy


def test_a_sanitize_that_looks_at_values_is_computed_whole(looking, tiny, read_folder, tmp_path):
    """It cannot be traced, and mlx-lm converts it nonetheless."""
    folder = looking(tiny("llama", files=2), tmp_path / "base")
    base = read_folder(folder)
    decisions = mixed(base)
    planned = layout(base, decisions, 20_000)
    assert planned.trace is None
    assert "model.norm.weight" in planned.whole
    assert len(planned.shards) > 1
    write_all(planned, folder, tmp_path / "ours")
    convert(folder, tmp_path / "theirs", decisions, planned)
    assert_same_bits(load(tmp_path / "ours"), load(tmp_path / "theirs"))


LARGE = {"hidden_size": 512, "intermediate_size": 16384, "num_hidden_layers": 3}


def test_what_is_computed_whole_takes_the_memory_of_one_tensor_after_the_other(looking, tiny, read_folder, tmp_path):
    """Nine projections of 16 MB each: one that is written, one that is made, and slabs."""
    folder = looking(tiny("llama", **LARGE), tmp_path / "base")
    base = read_folder(folder)
    planned = layout(base, {module.path: Precision(8, 64) for module in modules(base)}, WHOLE)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    write_shard(planned, planned.shards[0], folder, tmp_path / "model.safetensors")
    assert mx.get_peak_memory() - before < 64 << 20
    assert planned.shards[0].size > 72 << 20


def test_a_file_that_shrinks_while_it_is_computed_whole_is_refused(looking, tiny, read_folder, tmp_path):
    folder = looking(tiny("llama", "F32"), tmp_path / "base")
    base = read_folder(folder)
    planned = layout(base, mixed(base), WHOLE)
    arrays = load_whole(base, planned.source, ["model.norm.weight", "lm_head.weight"], frozenset(base.tensors), folder)
    next(arrays)
    with (folder / "model.safetensors").open("r+b") as handle:
        handle.truncate(3000)
    with pytest.raises(BaseModelError, match="cannot be read as planned"):
        next(arrays)


@pytest.fixture
def ready(tiny, read_folder, tmp_path):
    """A planned shard, a private copy of its base folder, and where to write it."""
    folder = tmp_path / "base"
    folder.mkdir()
    for path in tiny("llama").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    base = read_folder(folder)
    planned = layout(base, mixed(base), WHOLE)
    target = tmp_path / "out" / "model.safetensors"
    target.parent.mkdir()
    return planned, planned.shards[0], folder, target


def nothing_left(target: Path) -> bool:
    return not list(target.parent.iterdir())


def test_a_base_file_that_changed_is_refused(ready):
    planned, shard, folder, target = ready
    weights = mx.load(str(folder / "model.safetensors"))
    weights["model.norm.weight"] = weights["model.norm.weight"].astype(mx.float32)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    with pytest.raises(BaseModelError, match=r"model\.norm\.weight is F32 \[64\], not BF16 \[64\]"):
        write_shard(planned, shard, folder, target)
    assert nothing_left(target)


def test_a_base_file_that_is_cut_short_is_refused(ready):
    planned, shard, folder, target = ready
    with (folder / "model.safetensors").open("r+b") as handle:
        handle.truncate(30_000)
    with pytest.raises(BaseModelError, match=r"model\.safetensors is not a sound safetensors file"):
        write_shard(planned, shard, folder, target)
    assert nothing_left(target)


def test_a_base_file_that_shrinks_while_it_is_read_is_refused(ready):
    planned, shard, folder, target = ready

    seen: list[int] = []

    def truncate(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:  # the header has been checked by then
            with (folder / "model.safetensors").open("r+b") as handle:
                handle.truncate(3000)

    with pytest.raises(BaseModelError, match="ends within"):
        write_shard(planned, shard, folder, target, threads=1, advance=truncate)
    assert nothing_left(target)


def test_an_absent_base_file_is_named(ready):
    planned, shard, folder, target = ready
    (folder / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match=r"model\.safetensors cannot be read: No such file"):
        write_shard(planned, shard, folder, target)
    assert nothing_left(target)


def test_an_asked_precision_that_mlx_does_not_give_is_an_error(ready, monkeypatch):
    planned, shard, folder, target = ready
    quantize = mx.quantize
    monkeypatch.setattr(
        mx, "quantize", lambda array, group_size, _bits, mode: quantize(array, group_size, 4, mode=mode)
    )
    with pytest.raises(PipelineError, match=r"model\.embed_tokens\.weight came out as .*, not as 8 bit g64 asks"):
        write_shard(planned, shard, folder, target)
    assert nothing_left(target)


def test_a_file_that_is_not_as_planned_does_not_appear(ready):
    planned, shard, folder, target = ready
    lying = dataclasses.replace(shard, header=shard.header.replace(b"BF16", b"F16 ").replace(b'F16 "', b'F16" '))
    with pytest.raises(PipelineError, match="not as planned"):
        write_shard(planned, lying, folder, target)
    assert nothing_left(target)


def test_a_full_disk_leaves_nothing_behind(ready):
    planned, shard, folder, target = ready
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (shard.size // 2, before[1]))
    try:
        with pytest.raises(WorkspaceError, match=r"no space for model\.safetensors") as caught:
            write_shard(planned, shard, folder, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "same command" in caught.value.hint
    assert nothing_left(target)


@pytest.mark.parametrize("unsynced", [1, WHOLE], ids=["behind the writers", "at the end"])
def test_what_the_disk_refuses_once_is_not_forgotten(ready, monkeypatch, unsynced):
    """The kernel tells one `fsync` that bytes were lost; the next succeeds."""
    monkeypatch.setattr(slabs, "SLAB_BYTES", 4000)
    monkeypatch.setattr(quantizer, "_UNSYNCED", unsynced)
    planned, shard, folder, target = ready
    fsync, calls = os.fsync, itertools.count()

    def refuse(handle: int) -> None:
        if next(calls) == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WorkspaceError, match="cannot be made: Input/output error"):
        write_shard(planned, shard, folder, target)
    assert nothing_left(target)


def test_a_stopped_run_leaves_nothing_behind_and_no_thread(ready, monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 500)
    planned, shard, folder, target = ready
    seen: list[int] = []

    def stop(count: int) -> None:
        seen.append(count)
        if len(seen) == 5:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        write_shard(planned, shard, folder, target, advance=stop)
    assert nothing_left(target)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("slab", "disk"))]


def test_the_remains_of_a_killed_run_are_overwritten(ready):
    planned, shard, folder, target = ready
    target.with_name(".model.safetensors.part").write_bytes(b"x" * (shard.size + 999))
    digest = write_shard(planned, shard, folder, target)
    assert digest == hashlib.sha256(target.read_bytes()).hexdigest()
    assert [path.name for path in target.parent.iterdir()] == ["model.safetensors"]


def test_memory_is_that_of_a_few_slabs(tiny, read_folder, tmp_path):
    """Each projection has 16 MB in the base; what mlx holds at its peak is less than one of them."""
    folder = tiny("llama", hidden_size=512, intermediate_size=16384, num_hidden_layers=1)
    base = read_folder(folder)
    planned = layout(base, {module.path: Precision(8, 64) for module in modules(base)}, WHOLE)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    write_shard(planned, planned.shards[0], folder, tmp_path / "model.safetensors")
    assert mx.get_peak_memory() - before < 16 << 20
    assert planned.shards[0].size > 24 << 20
