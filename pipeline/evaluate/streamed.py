"""A model of which one decoder layer at a time is in memory; its own code runs unchanged.

Layers may be called in any order and more than once: one that was dropped is loaded anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx.utils import tree_map

from pipeline.errors import BaseModelError
from pipeline.evaluate.crews import step_through
from pipeline.evaluate.decoder import architecture, decoder_layers, watch
from pipeline.evaluate.forward import computing, width
from pipeline.evaluate.memory import available
from pipeline.evaluate.model import arrays, hidden_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.evaluate.crews import Job
    from pipeline.evaluate.forward import Compute
    from pipeline.evaluate.model import Layer, Model, Tokenizer


class Streamed:
    """See `pipeline.evaluate.forward.Weights`; one thread uses it, the one that made it."""

    def __init__(
        self,
        model: Model,
        open_again: Callable[[], Model],
        tokenizer: Tokenizer,
        compute: Compute,
        read_ahead: Callable[[int], None],
    ) -> None:
        """model, and what open_again yields: its arrays are read when they are evaluated; read_ahead: hears which layer
        comes next, while another one computes. `BaseModelError` for a layer that does not fit in memory.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.compute = compute
        self._open_again = open_again
        self._read_ahead = read_ahead
        self._layers = watch(model)
        largest, there = max(_nbytes(layer) for layer in self._layers), available()
        if largest > there:
            raise BaseModelError(
                f"a single layer of the architecture {architecture(model)} takes {largest / 1e9:.1f} GB, and "
                f"{there / 1e9:.1f} GB of memory are left",
                hint="Measure it on a larger machine.",
            )
        self._used: set[int] = set()
        self._again: list[Layer] = []
        self._used_again: set[int] = set()
        of_layers = {id(array) for layer in self._layers for array in arrays(layer)}
        mx.eval(hidden_arrays(self.model))
        for array in arrays(self.model):
            if id(array) not in of_layers:
                mx.eval(array)

    @property
    def layers(self) -> int:
        return len(self._layers)

    def run(self, jobs: Sequence[Job]) -> None:
        with computing(self):
            step_through(self.model, self._layers, jobs, width(self.compute), self)

    def begin(self, layer: int) -> None:
        """Load it (`pipeline.evaluate.crews.Visit`)."""
        if layer in self._used:
            self._layers[layer].update(self._parameters_again(layer))
        self._used.add(layer)
        try:
            for array in arrays(self._layers[layer]):
                mx.eval(array)
        except RuntimeError as error:  # all that mlx says of a file that it cannot read
            raise BaseModelError(
                f"layer {layer} of the model cannot be read: {error}",
                hint="Its files changed while they were read; run the command again.",
            ) from error
        if layer + 1 < self.layers:
            self._read_ahead(layer + 1)

    def end(self, layer: int) -> None:
        _drop(self._layers[layer])

    def _parameters_again(self, index: int) -> dict[str, Any]:
        """Those of a model that is opened once more, since an array that was dropped cannot be read again."""
        if not self._again or index in self._used_again:
            self._again, self._used_again = decoder_layers(self._open_again()), set()
        self._used_again.add(index)
        parameters = self._again[index].parameters()
        _drop(self._again[index])
        return parameters


def _nbytes(layer: Layer) -> int:
    return sum(array.nbytes for array in arrays(layer))


def _drop(layer: Layer) -> None:
    layer.update(tree_map(lambda _: mx.array([]), layer.parameters()))
    mx.clear_cache()
