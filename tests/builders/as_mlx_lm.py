"""What mlx-lm itself makes of a base model, and how results are compared with it: bit by bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

from pipeline.release.recipe import Unquantized

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.release.recipe import Decision
    from pipeline.weights.layout import Layout


def convert(folder: Path, target: Path, decisions: Mapping[str, Decision], planned: Layout) -> None:
    """mlx-lm's own steps for the same decisions; its default is what our config.json puts on top."""
    model, config = load_model(folder, lazy=True)
    dtype = getattr(mx, config.get("torch_dtype") or config["text_config"]["dtype"])
    keep = getattr(model, "cast_predicate", lambda _name: True)
    cast = {
        name: array.astype(dtype)
        for name, array in tree_flatten(model.parameters())
        if keep(name) and mx.issubdtype(array.dtype, mx.floating)
    }
    model.load_weights(list(cast.items()), strict=False)
    top = json.loads(planned.config).get("quantization")

    def predicate(path, _module):
        decision = decisions[path]
        return False if isinstance(decision, Unquantized) else decision.to_json()

    if top:
        model, config = quantize_model(model, config, top["group_size"], top["bits"], top["mode"], False, predicate)
    save_model(target, model)
    save_config(config, target / "config.json")


def read(folder: Path) -> dict[str, mx.array]:
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
