"""The decoder layers of a model, with every call of one passed to whoever follows a batch on its way through them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, cast

import mlx.core as mx
from mlx.nn.layers.base import Module

from pipeline.errors import BaseModelError
from pipeline.evaluate.model import held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.evaluate.model import Layer, Model


class Way(Protocol):
    """One batch on its way through the layers."""

    def call(self, layer: int, inputs: Sequence[object], compute: Callable[[], object]) -> object:
        """What the model is given in place of the output of `compute`; `inputs` are the layer's own arguments."""


on_its_way: ContextVar[Way | None] = ContextVar("on_its_way", default=None)
"""The batch that the running thread or coroutine computes; without one, layers are called as ever."""


_WATCHED = "is_watched"


def decoder_layers(model: Model) -> list[Layer]:
    """The modules that the model calls one after the other, each once.

    Where it calls the parts of its layers itself, all of them together are the one layer. `BaseModelError` when there
    is none at all.
    """
    listed = getattr(model, "layers", None)
    layers = [layer for layer in listed or () if isinstance(layer, Module)]
    if not all(map(_is_called, layers)):
        layers = [module for _, module in sorted(model.children().items()) if isinstance(module, Module)]
        layers = [module for module in layers if _is_called(module) and "layers" in module]
    if not layers:
        raise BaseModelError(
            f"nothing can be measured on the architecture {architecture(model)}: it has no list of decoder layers"
        )
    return cast("list[Layer]", list({id(layer): layer for layer in layers}.values()))


def architecture(model: Model) -> str:
    return type(model).__module__.rpartition(".")[2]


def _is_called(module: Module) -> bool:
    return any("__call__" in vars(kind) for kind in type(module).__mro__)


def watch(model: Model) -> list[Layer]:
    """Let every call of a decoder layer pass through the way that is being followed; the layers in their order.

    Each layer becomes an instance of a subclass of its own class, so that the model's code meets what it expects.
    """
    layers = decoder_layers(model)
    for index, layer in enumerate(layers):
        if not hasattr(type(layer), _WATCHED):
            layer.__class__ = _watched(cast("type[Module]", type(layer)), index)
    return layers


def _watched(kind: type[Module], index: int) -> type[Module]:
    original: Callable[..., object] = kind.__call__

    def call(self: Module, *arguments: object, **options: object) -> object:
        way = on_its_way.get()
        if way is None:
            return original(self, *arguments, **options)

        def compute() -> object:
            output = original(self, *arguments, **options)
            # A weight that was replaced meanwhile could be computed in no other thread.
            mx.eval(held(cast("Layer", self)))
            return output

        return way.call(index, (*arguments, *options.values()), compute)

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__, _WATCHED: True})
