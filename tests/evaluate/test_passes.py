from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
import pytest

from pipeline.errors import BaseModelError, WorkspaceError
from pipeline.evaluate import forward, passes, states
from pipeline.evaluate.forward import computing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKENS = np.random.default_rng(5).integers(0, 256, (4, 9), np.int32)
BATCHES = np.split(TOKENS, 4)


def quiet(_: int) -> None: ...


def through(loaded: forward.Loaded, folder: Path, told: Callable[[int], None] = quiet, **options: Any) -> mx.array:
    passes.through_layers(loaded, BATCHES, folder, told, **options)
    with computing(loaded):
        return mx.concatenate([passes.logits(loaded, BATCHES, folder, index) for index in range(4)])


def test_every_token_is_told_once(random_model: Callable[..., Path], tmp_path: Path) -> None:
    loaded = forward.load(random_model())
    told: list[int] = []
    through(loaded, tmp_path, told.append)
    assert sum(told) == TOKENS.size
    assert passes.finished(tmp_path, 4)
    again: list[int] = []
    through(loaded, tmp_path, again.append)
    assert sum(again) == TOKENS.size


def test_it_is_finished_only_when_every_batch_is(random_model: Callable[..., Path], tmp_path: Path) -> None:
    assert not passes.finished(tmp_path, 4)
    through(forward.load(random_model()), tmp_path)
    assert passes.finished(tmp_path, 4)
    assert not passes.finished(tmp_path, 5)
    file = tmp_path / "00002.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    assert not passes.finished(tmp_path, 4)


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_batch_that_is_lost_is_computed_again(random_model: Callable[..., Path], tmp_path: Path, damage: str) -> None:
    loaded = forward.load(random_model())
    expected = through(loaded, tmp_path)
    file = tmp_path / "00001.safetensors"
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    assert mx.array_equal(through(loaded, tmp_path), expected)


def kept(folder: Path, at: int, **changes: Any) -> None:
    file = folder / f"{at:05}.safetensors"
    state = states.load(file)
    assert state is not None
    states.save(file, dataclasses.replace(state, **changes))


def test_a_layer_that_left_more_than_it_gave_out_is_not_gone_on_from(
    random_model: Callable[..., Path], tmp_path: Path
) -> None:
    """Its output is made wrong here: had it been gone on from, so would all that follows be."""
    loaded = forward.load(random_model())
    expected = through(loaded, tmp_path)
    kept(tmp_path, 1, call=0, output=mx.zeros((1, 9, 64)), whole=False)
    assert mx.array_equal(through(loaded, tmp_path), expected)
    kept(tmp_path, 1, call=0, output=mx.zeros((1, 9, 64)), whole=True)
    assert not mx.array_equal(through(loaded, tmp_path), expected)


def test_a_batch_that_misses_what_was_left_out_is_begun_again(
    random_model: Callable[..., Path], tmp_path: Path
) -> None:
    loaded = forward.load(random_model())
    expected = through(loaded, tmp_path)
    # As after a kill behind the last layer, before anybody looked whether what was left out had been missed.
    kept(tmp_path, 2, output=mx.full((1, 9, 64), mx.nan), resumed=True)
    (tmp_path / "calls.json").unlink()
    assert mx.array_equal(through(loaded, tmp_path), expected)
    # A shape that the next layer cannot take, which its code answers in its own way.
    kept(tmp_path, 2, call=0, output=mx.zeros((1, 9, 3)))
    assert mx.array_equal(through(loaded, tmp_path), expected)


def test_a_failure_that_is_not_of_what_was_left_out_is_told(random_model: Callable[..., Path], tmp_path: Path) -> None:
    loaded = forward.load(random_model())
    loaded.model.layers[1].mlp = None
    with pytest.raises(TypeError):
        through(loaded, tmp_path)


def test_what_another_process_wrote_is_not_taken(
    random_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = forward.load(random_model())
    save = states.save

    def meddle(path: Path, state: states.State, **options: Any) -> None:
        save(path, dataclasses.replace(state, call=state.call + 5), **options)

    monkeypatch.setattr(states, "save", meddle)
    with pytest.raises(WorkspaceError, match="written by another process"):
        through(loaded, tmp_path, spill=0)


def test_hidden_states_may_lie_on_the_disk_alone(random_model: Callable[..., Path], tmp_path: Path) -> None:
    loaded = forward.load(random_model())
    expected = through(loaded, tmp_path / "memory")
    read: list[Path] = []
    load = states.load

    def counted(path: Path) -> states.State | None:
        read.append(path)
        return load(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "load", counted)
        assert mx.array_equal(through(loaded, tmp_path / "disk", spill=0), expected)
    # Between the two layers, behind the last one, and once to try the head.
    assert len(read) == 4 + 4 + 1


class Twice:
    """A model that sends every text through its layers a second time."""

    def __init__(self, model: Any) -> None:
        self.layers = model.layers
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, inputs: mx.array) -> mx.array:
        inner = self._model.model
        hidden = inner.embed_tokens(inputs)
        for layer in [*inner.layers, *inner.layers]:
            hidden = layer(hidden, "causal", None)
        return self._model.lm_head(inner.norm(hidden))


class Remembering(Twice):
    """A model whose head wants to know what the first layer gave out."""

    def __call__(self, inputs: mx.array) -> mx.array:
        inner = self._model.model
        first = inner.layers[0](inner.embed_tokens(inputs), "causal", None)
        return self._model.lm_head(inner.norm(inner.layers[1](first, "causal", None) + first))


def test_a_model_that_calls_its_layers_twice_is_followed_to_the_end(
    random_model: Callable[..., Path], tmp_path: Path
) -> None:
    loaded = forward.load(random_model())
    twice = forward.Loaded(Twice(loaded.model), loaded.tokenizer, loaded.compute)
    told: list[int] = []
    with computing(twice):
        expected = mx.concatenate([twice.model(mx.array(batch)) for batch in BATCHES])
    assert mx.array_equal(through(twice, tmp_path / "twice", told.append), expected)
    assert sum(told) == TOKENS.size
    # As after a kill in the last layer: one batch has one call less behind it than the others.
    kept(tmp_path / "twice", 1, call=2)
    (tmp_path / "twice" / "calls.json").unlink()
    through(twice, tmp_path / "twice")
    assert passes.finished(tmp_path / "twice", 4)
    assert not mx.array_equal(through(loaded, tmp_path / "once"), expected)


def test_a_model_that_needs_more_than_the_last_layer_is_refused(
    random_model: Callable[..., Path], tmp_path: Path
) -> None:
    loaded = forward.load(random_model())
    remembering = forward.Loaded(Remembering(loaded.model), loaded.tokenizer, loaded.compute)
    with pytest.raises(BaseModelError, match="needs more behind its last layer than that gave out"):
        through(remembering, tmp_path)


def test_a_model_that_computes_no_numbers_is_not_mistaken_for_one(
    random_model: Callable[..., Path], tmp_path: Path
) -> None:
    """Whether its figures may be published is for others to say."""
    loaded = forward.load(random_model())
    loaded.model.leaf_modules()["lm_head"].weight[3] = mx.nan
    assert mx.any(mx.isnan(through(loaded, tmp_path)))


PROGRAM = """
import os
import sys
from pathlib import Path
import numpy as np
from pipeline.evaluate import forward, passes, states
tokens = np.random.default_rng(5).integers(0, 256, (4, 9), np.int32)
save = states.save
def told(path, state, **options):
    save(path, state, **options)
    print(path.stem, state.call, flush=True)
    if len(sys.argv) > 3:
        os.read(0, 1)  # of several threads each takes one
states.save = told
passes.through_layers(forward.load(Path(sys.argv[1])), np.split(tokens, 4), Path(sys.argv[2]), lambda _: None)
"""


@pytest.mark.parametrize("after", [1, 4, 6])
def test_a_kill_costs_no_layer_that_was_finished(random_model: Callable[..., Path], tmp_path: Path, after: int) -> None:
    folder = random_model()
    expected = through(forward.load(folder), tmp_path / "undisturbed")
    command = [sys.executable, "-c", PROGRAM, str(folder), str(tmp_path / "killed")]
    with subprocess.Popen([*command, "slowly"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        done = set()
        for _ in range(after):
            done.add(process.stdout.readline())
            process.stdin.write("x")
            process.stdin.flush()
        os.kill(process.pid, signal.SIGKILL)
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines(keepends=True)
    assert not done & set(again)
    assert 4 * 2 - after - 2 <= len(again) <= 4 * 2 - after
    assert mx.array_equal(through(forward.load(folder), tmp_path / "killed"), expected)
