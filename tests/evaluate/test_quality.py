from __future__ import annotations

import dataclasses
import fcntl
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.errors import BaseModelError
from pipeline.evaluate import opening, quality
from pipeline.evaluate.quality import Examined, Text, compare, compute_states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = Text("Once upon a time there was a king who had a daughter and no money. " * 3, 20, 3)


def quiet(_: int) -> None: ...


@pytest.fixture
def models(random_model: Callable[..., Path], tmp_path: Path) -> tuple[Examined, Examined]:
    folders = random_model(), random_model(group_size=32, bits=4)
    base, quantized = (Examined(folder, name * 64, tmp_path / name) for folder, name in zip(folders, "ab", strict=True))
    return base, quantized


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The weights of the models that were brought through their layers."""
    names: list[str] = []
    states = quality._states

    def counted(weights: Any, model: Examined, *arguments: Any) -> Path:
        through = quality.through_layers
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(quality, "through_layers", lambda *all_: (names.append(model.weights[0]), through(*all_)))
            return states(weights, model, *arguments)

    monkeypatch.setattr(quality, "_states", counted)
    return names


@pytest.mark.parametrize("how", ["resident", "streamed"])
def test_the_layers_are_gone_through_once(models: tuple[Examined, Examined], walked: list[str], how: Any) -> None:
    expected = compare(*models, TEXT, "resident", quiet)
    assert walked == ["a", "b"]
    walked.clear()
    fresh = [dataclasses.replace(model, states=model.states / how) for model in models]
    told: list[int] = []
    for model in fresh:
        compute_states(model, TEXT, how, told.append)
    assert sum(told) == 2 * 3 * 19
    assert walked == ["a", "b"]
    told.clear()
    found = compare(*fresh, TEXT, how, told.append)
    assert walked == ["a", "b"]
    assert sum(told) == 3 * 19
    for one, other in zip(dataclasses.astuple(found.tokenwise), dataclasses.astuple(expected.tokenwise), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_complete_needs_no_layer(models: tuple[Examined, Examined], monkeypatch: pytest.MonkeyPatch) -> None:
    compute_states(models[0], TEXT, "resident", quiet)
    monkeypatch.setattr(opening, "load", lambda *_, **__: pytest.fail("the whole model was loaded"))
    told: list[int] = []
    compute_states(models[0], TEXT, "resident", told.append)
    assert sum(told) == 3 * 19


def test_the_base_s_states_serve_another_release(models: tuple[Examined, Examined], walked: list[str]) -> None:
    base, quantized = models
    compare(base, quantized, TEXT, "resident", quiet)
    walked.clear()
    compare(base, dataclasses.replace(quantized, weights="c" * 64), TEXT, "resident", quiet)
    assert walked == ["c"]


@pytest.mark.parametrize(
    "changed", [Text(TEXT.content.upper(), 20, 3), Text(TEXT.content, 19, 3), Text(TEXT.content, 20, 2)]
)
def test_states_of_another_text_are_not_taken(
    models: tuple[Examined, Examined], walked: list[str], changed: Text
) -> None:
    compute_states(models[0], TEXT, "resident", quiet)
    compute_states(models[0], changed, "resident", quiet)
    assert walked == ["a", "a"]


def test_states_of_other_weights_are_not_taken(models: tuple[Examined, Examined], walked: list[str]) -> None:
    compute_states(models[0], TEXT, "resident", quiet)
    compute_states(dataclasses.replace(models[0], weights="d" * 64), TEXT, "resident", quiet)
    assert walked == ["a", "d"]


@pytest.mark.parametrize("alone", [True, False])
def test_states_of_other_questions_go_only_where_nobody_else_keeps_any(
    models: tuple[Examined, Examined], alone: bool
) -> None:
    model = dataclasses.replace(models[1], alone=alone)
    first = compute_states(model, TEXT, "resident", quiet)
    second = compute_states(model, Text(TEXT.content, 19, 3), "resident", quiet)
    assert first != second
    assert second.exists()
    assert first.exists() is not alone


def test_a_second_release_of_the_same_base_waits_for_the_first(
    models: tuple[Examined, Examined], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = compute_states(models[0], TEXT, "resident", quiet)
    (folder / "calls.json").unlink()
    begun = threading.Event()
    monkeypatch.setattr(quality, "through_layers", lambda *_: begun.set())
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=compute_states, args=(models[0], TEXT, "streamed", quiet))
        second.start()
        assert not begun.wait(2)
    second.join()
    assert begun.is_set()


def test_two_tokenizers_cannot_be_compared(models: tuple[Examined, Examined], copy: Callable[[Path], Path]) -> None:
    base, quantized = models
    folder = copy(quantized.folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    words["a"], words["e"] = words["e"], words["a"]
    path.write_text(json.dumps(content))
    with pytest.raises(BaseModelError, match="as different tokens"):
        compare(base, dataclasses.replace(quantized, folder=folder), TEXT, "resident", quiet)
