from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.errors import BaseModelError, UsageError
from pipeline.evaluate import opening
from pipeline.evaluate.forward import Folder, Loaded
from pipeline.evaluate.opening import open_resident, open_weights, resident_bytes
from pipeline.evaluate.streamed import Streamed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_weights_take_is_known_before_they_are_read(random_model: Callable[..., Path]) -> None:
    """On a CPU every weight becomes a float32."""
    whole, packed = (Folder(folder) for folder in (random_model(), random_model(group_size=32, bits=4)))
    embedded = 300 * 64
    assert resident_bytes(whole) == resident_bytes(packed)
    assert resident_bytes(whole) > 4 * 2 * embedded


@pytest.mark.parametrize(("times", "kind"), [(2.0, Loaded), (1.0, Streamed)])
def test_weights_are_resident_where_they_leave_room(
    random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, times: float, kind: type
) -> None:
    folder = random_model()
    room = round(times * resident_bytes(Folder(folder)))
    monkeypatch.setattr(opening, "available", lambda: room)
    assert isinstance(open_weights(folder), kind)


@pytest.mark.parametrize(("how", "kind"), [("resident", Loaded), ("streamed", Streamed)])
def test_who_asks_is_heeded(
    random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, how: opening.How, kind: type
) -> None:
    monkeypatch.setattr(opening, "available", lambda: 0 if how == "resident" else 1 << 60)
    weights = open_weights(random_model(), how)
    assert isinstance(weights, kind)
    assert weights.layers == 2
    assert (weights.compute.backend, weights.compute.dtype) == ("cpu", "float32")
    assert len(weights.tokenizer) > 0


def test_what_must_be_resident_is_refused_before_it_is_loaded(
    random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = random_model()
    monkeypatch.setattr(opening, "available", lambda: 1000)
    monkeypatch.setattr(opening, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(UsageError, match=r"cannot speak: its weights take 0\.\d GB here, and 0\.0 GB") as told:
        open_resident(folder, "cannot speak", "Buy a Mac.")
    assert told.value.hint == "Buy a Mac."


@pytest.mark.parametrize("how", ["resident", "streamed", "auto"])
def test_a_broken_folder_is_told_however_it_is_opened(random_model: Callable[..., Path], how: opening.How) -> None:
    folder = random_model()
    (folder / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match="cannot load the model"):
        open_weights(folder, how)
