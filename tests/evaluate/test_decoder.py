from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx import nn

from pipeline.errors import BaseModelError
from pipeline.evaluate.decoder import decoder_layers, on_its_way, watch


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def __call__(self, x: mx.array, scale: float = 1.0) -> mx.array:
        return self.linear(x) * scale


class Parts(nn.Module):
    """A layer whose parts the model calls itself."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)


class Inner(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.layers = [kind(), kind()]

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers:
            x = layer.linear(x)
        return x


class Model(nn.Module):
    def __init__(self, kind: type[nn.Module] = Layer) -> None:
        super().__init__()
        self.model = Inner(kind)

    @property
    def layers(self) -> list[nn.Module]:
        return self.model.layers


def test_calls_pass_through_whoever_follows() -> None:
    model = Model()
    layers = watch(model)
    assert watch(model) == layers
    x = mx.ones((1, 4))
    expected = layers[1](x, scale=2.0)
    calls: list[Any] = []

    class Way:
        def call(self, layer: int, inputs: Any, compute: Any) -> object:
            calls.append((layer, inputs))
            return compute()

    before = on_its_way.set(Way())
    try:
        assert mx.array_equal(layers[1](x, scale=2.0), expected)
    finally:
        on_its_way.reset(before)
    [(number, inputs)] = calls
    assert number == 1
    assert inputs[0] is x
    assert inputs[1] == 2.0
    layers[0](x)
    assert len(calls) == 1


def test_the_model_s_code_meets_the_classes_it_expects() -> None:
    model = Model()
    names = [type(layer).__name__ for layer in model.layers]
    watch(model)
    assert all(isinstance(layer, Layer) for layer in model.layers)
    assert [type(layer).__name__ for layer in model.layers] == names


def test_a_layer_that_stands_twice_in_the_list_is_one() -> None:
    model = Model()
    model.model.layers.append(model.model.layers[0])
    assert decoder_layers(model) == model.model.layers[:2]


def test_layers_that_are_called_by_parts_are_one_layer_together() -> None:
    model = Model(Parts)
    assert decoder_layers(model) == [model.model]


def test_an_architecture_without_layers_is_refused_by_name() -> None:
    model = Model()
    model.model.layers = []
    with pytest.raises(BaseModelError, match=r"the architecture test_decoder: it has no list of decoder layers"):
        decoder_layers(model)
