"""The base's weight files on disk: checked against what was planned, then read by parts."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, cast

import mlx.core as mx
import numpy as np

from pipeline.errors import BaseModelError
from pipeline.weights.architecture import MX, build_model, sanitize_of
from pipeline.weights.boxes import extents, runs
from pipeline.weights.headers import read_header
from pipeline.weights.trace import placeholders, run_sanitize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.weights.base import BaseModel
    from pipeline.weights.boxes import Box
    from pipeline.weights.headers import Tensor
    from pipeline.weights.slabs import Read
    from pipeline.weights.trace import Node

_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@contextlib.contextmanager
def open_base(base: BaseModel, folder: Path, files: frozenset[str]) -> Iterator[Read]:
    """A function that reads parts of tensors in `files` of `folder`, from any thread.

    `BaseModelError` when a file is not the one that was planned with.
    """
    with contextlib.ExitStack() as stack:
        handles: dict[str, int] = {}
        tensors: dict[str, Tensor] = {}
        for file in sorted(files):
            tensors.update(_checked(base, folder, file))
            handles[file] = os.open(folder / file, os.O_RDONLY)
            stack.callback(os.close, handles[file])

        def read(leaf: Node, box: Box) -> mx.array:
            tensor = tensors[leaf.arguments[0]]
            return _read(handles[tensor.file], tensor, box)

        yield read


def _checked(base: BaseModel, folder: Path, file: str) -> dict[str, Tensor]:
    header = read_header(folder / file, file)
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in header.items()}
    planned = {name: (tensor.dtype, tensor.shape) for name, tensor in base.tensors.items() if tensor.file == file}
    if found != planned:
        name = min(name for name in found.keys() | planned.keys() if found.get(name) != planned.get(name))
        raise BaseModelError(
            f"{file} is not the file that was planned with: {name} is {_words(found.get(name))}, "
            f"not {_words(planned.get(name))}",
            hint="Delete it from the workspace; the same command downloads it again.",
        )
    return header


def _words(kind: tuple[str, tuple[int, ...]] | None) -> str:
    return f"{kind[0]} {list(kind[1])}" if kind else "absent"


def _read(handle: int, tensor: Tensor, box: Box) -> mx.array:
    dtype = MX[tensor.dtype]
    pieces = []
    for first, length in runs(tensor.shape, box):
        size = length * dtype.size
        pieces.append(os.pread(handle, size, tensor.start + first * dtype.size))
        if len(pieces[-1]) != size:
            raise BaseModelError(
                f"{tensor.file} ends within {tensor.name}", hint="It changed while it was read; run the command again."
            )
    words = np.frombuffer(b"".join(pieces), _UNSIGNED[dtype.size])
    return mx.array(words).view(dtype).reshape(extents(box))


def load_whole(base: BaseModel, names: Sequence[str], leaves: frozenset[str], folder: Path) -> Iterator[mx.array]:
    """These parameters by the architecture's own `sanitize` on mapped files, evaluated one by one and not kept.

    leaves: the tensors of the base behind them. All others stay placeholders, and their files unopened.
    """
    weights = placeholders(base.tensors)
    for file in sorted({base.tensors[name].file for name in leaves}):
        loaded = cast("dict[str, mx.array]", mx.load(str(folder / file)))
        weights.update((name, loaded[name]) for name in leaves if base.tensors[name].file == file)
        del loaded
    outputs = run_sanitize(sanitize_of(build_model(base.config)), weights)
    waiting = [outputs[name] for name in reversed(names)]
    del weights, outputs
    while waiting:
        mx.eval(waiting[-1])
        yield waiting.pop()
