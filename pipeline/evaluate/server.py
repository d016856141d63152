"""The process in which `mlx_lm.server` is tried: that program, ending when its parent does, and on a CPU in float32."""

from __future__ import annotations

import os
import sys
from threading import Thread
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx_lm import server, utils

from pipeline import provenance
from pipeline.evaluate import cpu
from pipeline.evaluate.model import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

_serve: Callable[[], None] = server.main
_parameters: Callable[[object], int] = utils.get_total_parameters


def main() -> None:
    """Takes the arguments of `mlx_lm.server`; standard input is a pipe that the parent keeps open."""
    Thread(target=_end_with_parent, daemon=True).start()
    sys.argv[0] = "mlx_lm.server"
    if mx.default_device() != mx.cpu:
        _serve()
        return
    utils.load_model = _in_float32(utils.load_model)
    with cpu.fast():
        _serve()


def _end_with_parent() -> None:
    """However it ends: a server of 350 GB must not outlive a killed release."""
    sys.stdin.buffer.read()
    os._exit(1)


def _in_float32(load_model: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Computes like every other figure on a CPU, and 20 times faster than mlx's own quantized products there."""

    def load(*arguments: object, **options: object) -> tuple[Any, ...]:
        model, *others = load_model(*arguments, **options)
        needed, memory = 4 * _parameters(model), provenance.machine()["memory"]
        if isinstance(memory, int) and needed > memory:
            raise MemoryError(f"in float32, as on every CPU, the model takes {needed / 1e9:.0f} GB of memory")
        cpu.use_float32(model)
        for array in arrays(model):
            mx.eval(array)
        return model, *others

    return load


if __name__ == "__main__":
    main()
