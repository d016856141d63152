from __future__ import annotations

from typing import TYPE_CHECKING

import mlx.core as mx
import pytest
from mlx_lm.models.kimi_k3 import ResidualBlocks

from pipeline.errors import BaseModelError, WorkspaceError
from pipeline.evaluate import states
from pipeline.evaluate.states import State

if TYPE_CHECKING:
    from pathlib import Path


def blocks() -> ResidualBlocks:
    made = ResidualBlocks(1e-6)
    made.append(mx.random.normal((1, 3, 4), key=mx.random.key(1)))
    return made


@pytest.mark.parametrize(
    "output",
    [
        mx.arange(6.0).reshape(1, 2, 3),
        mx.array(0.5, mx.bfloat16),
        (mx.ones((2, 2), mx.float16), None),
        [(mx.ones(3), mx.zeros(3)), 7, "word", True],
        (mx.zeros((1, 3, 4)), blocks()),
    ],
    ids=["array", "no axes", "pair", "nested", "an object of the model's own"],
)
def test_what_is_kept_comes_back(tmp_path: Path, output: object) -> None:
    path = tmp_path / "0.safetensors"
    assert states.reached(path).calls == 0
    states.save(path, State(4, output))
    found = states.load(path)
    assert found is not None
    assert found.call == 4
    assert states.reached(path).calls == 5
    assert states._form(found.output, []) == states._form(output, [])
    for kept, given in zip(states.leaves(found.output), states.leaves(output), strict=True):
        assert kept.dtype == given.dtype
        assert mx.array_equal(kept, given)
    assert [path.name for path in tmp_path.iterdir()] == ["0.safetensors"]


def test_only_a_whole_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "0.safetensors"
    states.save(path, State(1, mx.ones((64, 64))))
    whole = path.read_bytes()
    for broken in (b"", whole[:7], whole[:40]):
        path.write_bytes(broken)
        assert states.load(path) is None
        assert states.reached(path).calls == 0


def test_an_output_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="gives out a dict"):
        states.save(tmp_path / "0.safetensors", State(0, {"hidden": mx.ones(3)}))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"0\.safetensors cannot be written"):
        states.save(tmp_path / "absent" / "0.safetensors", State(0, mx.ones(3)))


def test_what_is_left_out_has_the_same_form_and_no_number() -> None:
    output = (mx.ones((2, 3), mx.bfloat16), None, [mx.zeros(4)], blocks())
    filled = states.filled(output, mx.nan)
    for left_out, given in zip(states.leaves(filled), states.leaves(output), strict=True):
        assert (left_out.shape, left_out.dtype) == (given.shape, given.dtype)
        assert mx.all(mx.isnan(left_out))


def test_whole_numbers_are_refused_when_they_are_kept_and_not_when_they_are_missed(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"gives out mlx\.core\.int32"):
        states.save(tmp_path / "0.safetensors", State(0, (mx.ones(3), mx.ones(3, mx.int32))))
    assert not list(tmp_path.iterdir())


class Notes:
    def __init__(self) -> None:
        self.keys = mx.ones(3)


def test_what_a_layer_changes_of_what_it_was_given_is_noticed() -> None:
    shared, notes, hidden = {"keys": None}, Notes(), mx.ones(3)
    for change in (lambda: shared.update(keys=mx.ones(3)), lambda: setattr(notes, "keys", mx.ones(3))):
        before = states.containers((hidden, None, [shared, notes]))
        assert not states.changed(before, hidden)
        change()
        assert states.changed(before, hidden)
    made = blocks()
    before = states.containers((hidden, made))
    made.append(mx.ones((1, 3, 4)))
    assert states.changed(before, hidden)
    assert not states.changed(before, (hidden, made)), "it is given out, and so kept"
