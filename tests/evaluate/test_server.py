from __future__ import annotations

from typing import TYPE_CHECKING

import mlx.core as mx
import pytest
from mlx_lm.utils import load_model

from pipeline import provenance
from pipeline.evaluate import server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_on_a_cpu_models_are_loaded_in_float32(random_model: Callable[..., Path]) -> None:
    model, config = server._in_float32(load_model)(random_model(group_size=32, bits=4), lazy=True)
    assert config["model_type"] == "llama"
    head = model.leaf_modules()["lm_head"]
    assert head.weight.dtype == mx.float32
    assert head.weight.shape == (300, 64)


def test_a_model_too_large_for_that_is_refused_with_its_size(
    random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "machine", lambda: {"memory": 100_000})
    with pytest.raises(MemoryError, match=r"in float32, as on every CPU, the model takes 0 GB"):
        server._in_float32(load_model)(random_model(group_size=32, bits=4), lazy=True)
