"""Every architecture that mlx-lm tests: evaluated layer by layer, it gives the very losses that it gives at once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
import pytest
import upstream

from pipeline.evaluate import passes
from pipeline.evaluate.forward import Compute, Folder, Loaded, computing
from pipeline.evaluate.model import held
from pipeline.evaluate.perplexity import losses_of
from pipeline.evaluate.streamed import Streamed

if TYPE_CHECKING:
    from pipeline.evaluate.forward import Weights

CPU = Compute("cpu", "float32", "any")
GOLDEN = Path(__file__).parents[1] / "golden" / "weights" / "architectures.txt"
ARCHITECTURES = [line.split()[0] for line in GOLDEN.read_text().splitlines()]
# Its layers are kernels for Metal alone.
UNCOMPUTABLE = {"bitnet"}
WINDOWS, LENGTH = 3, 12
TOKENIZER: Any = None  # which the CPU does not ask


def quiet(_: int) -> None: ...


@pytest.fixture(scope="module")
def configs(pytestconfig):
    return upstream.collect(upstream.fetch(Path(pytestconfig.cache.mkdir("mlx-lm"))))


@pytest.fixture
def model_folder(tmp_path: Path, configs: dict[str, dict[str, Any]]):
    def write(name: str) -> Folder:
        config = upstream.runnable(configs[name])
        assert upstream.write(tmp_path / name, config, stacked=True)
        file = tmp_path / name / "model.safetensors"
        weights = mx.load(str(file))
        # Of random weights as large as these, a deep model would make infinities.
        small = {key: array * 0.05 if array.ndim > 1 and _is_float(array) else array for key, array in weights.items()}
        mx.eval(small)
        mx.save_safetensors(str(file), small, metadata={"format": "pt"})
        return Folder(tmp_path / name)

    return write


def _is_float(array: mx.array) -> bool:
    return mx.issubdtype(array.dtype, mx.floating)


def resident(folder: Folder) -> Loaded:
    model = folder.open()
    mx.eval(held(model))
    return Loaded(model, TOKENIZER, CPU)


def streamed(folder: Folder, opened: list[int] | None = None, ahead: Any = quiet) -> Streamed:
    def again():
        if opened is not None:
            opened.append(1)
        return folder.open(stored_experts=True)

    return Streamed(folder.open(stored_experts=True), again, TOKENIZER, CPU, ahead)


def tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 30, (WINDOWS, LENGTH), np.int32)


def inputs() -> list[np.ndarray]:
    return np.split(tokens()[:, :-1], WINDOWS)


def losses(weights: Weights, folder: Path, **options: Any) -> np.ndarray:
    passes.through_layers(weights, inputs(), folder, quiet, **options)
    with computing(weights):
        scores = [passes.logits(weights, inputs(), folder, index) for index in range(WINDOWS)]
        return np.concatenate(
            [losses_of(s, t) for s, t in zip(scores, np.split(tokens()[:, 1:], WINDOWS), strict=True)]
        )


def at_once(loaded: Loaded) -> np.ndarray:
    with computing(loaded):
        scores = [loaded.model(mx.array(batch)).astype(mx.float32) for batch in inputs()]
        return np.concatenate(
            [losses_of(s, t) for s, t in zip(scores, np.split(tokens()[:, 1:], WINDOWS), strict=True)]
        )


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in UNCOMPUTABLE])
def test_losses_are_those_of_the_whole_model_to_the_bit(name: str, model_folder, tmp_path: Path) -> None:
    folder = model_folder(name)
    expected = at_once(resident(folder))
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(losses(streamed(folder), tmp_path / "streamed", spill=0), expected)
    np.testing.assert_array_equal(losses(resident(folder), tmp_path / "resident"), expected)
    killed = streamed(folder)
    stop_before(killed, killed.layers // 2)
    with pytest.raises(Stopped):
        losses(killed, tmp_path / "killed")
    np.testing.assert_array_equal(losses(streamed(folder), tmp_path / "killed"), expected)


class Stopped(Exception):
    pass


def stop_before(weights: Streamed, last: int) -> None:
    load = weights.begin

    def begin(layer: int) -> None:
        if layer == last:
            raise Stopped
        load(layer)

    weights.begin = begin


def test_one_layer_at_a_time_is_in_memory(model_folder, tmp_path: Path) -> None:
    weights = streamed(model_folder("llama"))
    sizes: list[list[int]] = []
    load = weights.begin

    def begin(layer: int) -> None:
        load(layer)
        sizes.append([sum(array.nbytes for array in held(one)) for one in weights._layers])

    weights.begin = begin
    losses(weights, tmp_path / "states")
    untouched = sizes[0][1]
    assert len(sizes) == weights.layers > 1
    for number, row in enumerate(sizes):
        assert row[number] >= untouched > 0
        assert sum(row[:number]) == 0


def test_hidden_states_do_not_pile_up(model_folder, tmp_path: Path) -> None:
    weights = streamed(model_folder("llama"))
    held_then: list[int] = []
    end = weights.end

    def ended(layer: int) -> None:
        end(layer)
        held_then.append(mx.get_active_memory())

    weights.end = ended
    batches = [np.zeros((1, 3000), np.int32)] * 6
    passes.through_layers(weights, batches, tmp_path / "states", quiet, spill=0)
    state = (tmp_path / "states" / "00000.safetensors").stat().st_size
    assert max(held_then) - min(held_then) < 2 * state


def test_what_was_dropped_is_loaded_again(model_folder, tmp_path: Path) -> None:
    opened: list[int] = []
    weights = streamed(model_folder("mixtral"), opened)
    first = losses(weights, tmp_path / "first")
    for count in (1, 2):
        np.testing.assert_array_equal(losses(weights, tmp_path / str(count)), first)
        assert len(opened) == count


def test_the_next_layer_is_asked_for_while_one_computes(model_folder, tmp_path: Path) -> None:
    asked: list[int] = []
    weights = streamed(model_folder("llama"), ahead=asked.append)
    losses(weights, tmp_path / "states")
    assert asked == list(range(1, weights.layers))


def test_a_failure_within_a_layer_is_told_and_leaves_no_thread(model_folder, tmp_path: Path) -> None:
    import threading

    weights = streamed(model_folder("llama"))
    weights._layers[1].mlp = None
    with pytest.raises(TypeError):
        losses(weights, tmp_path / "states")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("layer")]


def test_experts_are_computed_from_the_form_they_are_stored_in(random_model, tmp_path: Path) -> None:
    folder = Folder(random_model("mixtral", group_size=32, bits=4))
    stored = folder.open(stored_experts=True)
    whole = folder.open()
    size = {
        name: sum(array.nbytes for array in held(model.layers[0]))
        for name, model in (("stored", stored), ("whole", whole))
    }
    assert size["stored"] < size["whole"] / 3
    np.testing.assert_array_equal(losses(streamed(folder), tmp_path / "a"), losses(resident(folder), tmp_path / "b"))


def test_a_base_is_evaluated_from_its_own_packed_checkpoint(tiny_kimi_base: Path, tmp_path: Path) -> None:
    """Kimi's INT4 experts, one by one in the checkpoint, and what the exact unpacking of them computes."""
    folder = Folder(tiny_kimi_base, trust_remote_code=True)
    packed = folder.open(stored_experts=True)
    experts = [module["weight"] for module in packed.modules() if "scales" in module]
    assert experts
    assert {(weight.dtype, weight.ndim) for weight in experts} == {(mx.uint32, 3)}
    found = losses(streamed(folder), tmp_path / "streamed")
    np.testing.assert_array_equal(found, losses(resident(folder), tmp_path / "resident"))
    assert np.isfinite(found).all()


def test_a_base_in_fp8_is_evaluated_from_its_own_checkpoint(configs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """As DeepSeek publishes: weights in fp8, with a scale for every block of 128 by 128."""
    path = tmp_path / "fp8"
    assert upstream.write(path, upstream.runnable(configs["deepseek_v3"]), stacked=False)
    weights = dict(mx.load(str(path / "model.safetensors")).items())
    packed = [name for name in weights if re.search(r"(gate|up|down|o|q|kv)\w*_proj\.weight$", name)]
    for number, name in enumerate(packed):
        rows, columns = weights[name].shape
        scales = mx.random.uniform(0.02, 0.1, (-(-rows // 128), -(-columns // 128)), key=mx.random.key(number))
        weights |= {name: mx.to_fp8(weights[name]), f"{name}_scale_inv": scales}
    mx.save_safetensors(str(path / "model.safetensors"), weights, metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
    (path / "config.json").write_text(json.dumps(config))
    assert packed
    found = losses(streamed(Folder(path)), tmp_path / "streamed")
    np.testing.assert_array_equal(found, losses(resident(Folder(path)), tmp_path / "resident"))
    assert np.isfinite(found).all()


def test_batches_begun_elsewhere_are_gone_on_with(model_folder, tmp_path: Path) -> None:
    """The coroutines of the second run have nothing of the first but what lies in the folder."""
    folder = model_folder("llama")
    expected = losses(streamed(folder), tmp_path / "whole")

    weights = streamed(folder)
    stop_before(weights, 2)
    with pytest.raises(Stopped):
        losses(weights, tmp_path / "states")
    loaded: list[int] = []
    weights = streamed(folder)
    again = weights.begin
    weights.begin = lambda layer: (loaded.append(layer), again(layer))
    np.testing.assert_array_equal(losses(weights, tmp_path / "states"), expected)
    assert loaded == list(range(2, weights.layers))
