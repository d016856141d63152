"""The base's weight files on disk: checked against what was planned, then read by parts."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import mlx.core as mx
import numpy as np

from pipeline.errors import BaseModelError
from pipeline.weights.architecture import MX, build_model, sanitize_of
from pipeline.weights.boxes import extents, runs
from pipeline.weights.headers import read_header
from pipeline.weights.trace import placeholders, run_sanitize
from pipeline.weights.unpack import values, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.weights.base import BaseModel
    from pipeline.weights.boxes import Box, Shape
    from pipeline.weights.headers import Tensor
    from pipeline.weights.packed import Packing, Unpacked
    from pipeline.weights.slabs import Read
    from pipeline.weights.trace import Node

_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@contextlib.contextmanager
def open_base(base: BaseModel, source: Unpacked, folder: Path, files: frozenset[str]) -> Iterator[Read]:
    """A function that reads parts of tensors in `files` of `folder`, from any thread; packed ones come unpacked.

    `BaseModelError` when a file is not the one that was planned with.
    """
    with contextlib.ExitStack() as stack:
        handles: dict[str, int] = {}
        tensors: dict[str, Tensor] = {}
        for file in sorted(files):
            tensors.update(_checked(base, folder, file))
            handles[file] = os.open(folder / file, os.O_RDONLY)
            stack.callback(os.close, handles[file])
        yield _Opened(source.packings, tensors, handles)


@dataclass(frozen=True)
class _Opened:
    packings: Mapping[str, Packing]
    tensors: Mapping[str, Tensor]
    handles: Mapping[str, int]

    def __call__(self, leaf: Node, box: Box) -> mx.array:
        name, *part = leaf.arguments
        packing = self.packings.get(name)
        if packing is None:
            return self._read(self.tensors[name], box)
        if part:
            return self._part(packing, part[0], leaf.shape, box)
        return self._unpacked(packing, leaf.shape, box)

    def _unpacked(self, packing: Packing, shape: Shape, box: Box) -> mx.array:
        """Whole groups are read and unpacked, whatever part of them was asked for."""
        size = packing.precision.group_size
        *rows, (start, stop) = box
        first, last = start // size, -(-stop // size)
        parts = [
            self._part(
                packing, part, (*shape[:-1], width(shape[-1])), (*rows, (width(first * size), width(last * size)))
            )
            for part, width in (
                ("codes", lambda count: words(packing, count)),
                ("scales", lambda count: count // size),
                ("biases", lambda count: count // size),
            )
            if getattr(packing, part)
        ]
        return values(packing, *parts)[..., start - first * size : stop - first * size]

    def _part(self, packing: Packing, part: str, shape: Shape, box: Box) -> mx.array:
        """Codes are read as words of mlx, whatever integers the base keeps them in: in memory they are the same."""
        tensor = self.tensors[getattr(packing, part)]
        return self._read(replace(tensor, shape=shape, dtype="U32" if part == "codes" else tensor.dtype), box)

    def _read(self, tensor: Tensor, box: Box) -> mx.array:
        dtype = MX[tensor.dtype]
        pieces = []
        for first, length in runs(tensor.shape, box):
            size = length * dtype.size
            pieces.append(os.pread(self.handles[tensor.file], size, tensor.start + first * dtype.size))
            if len(pieces[-1]) != size:
                raise BaseModelError(
                    f"{tensor.file} ends within {tensor.name}",
                    hint="It changed while it was read; run the command again.",
                )
        array = np.frombuffer(b"".join(pieces), _UNSIGNED[dtype.size])
        return mx.array(array).view(dtype).reshape(extents(box))


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


def load_whole(
    base: BaseModel, source: Unpacked, names: Sequence[str], leaves: frozenset[str], folder: Path
) -> Iterator[mx.array]:
    """These parameters by the architecture's own `sanitize` on mapped files, evaluated one by one and not kept.

    leaves: the tensors of `source` behind them. All others stay placeholders, and their files unopened.
    """
    loaded: dict[str, mx.array] = {}
    wanted = set(source.stored(leaves))
    for file in sorted({base.tensors[name].file for name in wanted}):
        arrays = cast("dict[str, mx.array]", mx.load(str(folder / file)))
        loaded.update((name, arrays[name]) for name in wanted & arrays.keys())
    weights = placeholders(source.exact)
    for name in leaves:
        packing = source.packings.get(name)
        weights[name] = _whole(packing, loaded, source.tensors[name].shape) if packing else loaded[name]
    outputs = run_sanitize(sanitize_of(build_model(base.config)), weights)
    waiting = [outputs[name] for name in reversed(names)]
    del arrays, loaded, weights, outputs
    while waiting:
        mx.eval(waiting[-1])
        yield waiting.pop()


def _whole(packing: Packing, loaded: Mapping[str, mx.array], shape: Shape) -> mx.array:
    codes = loaded[packing.codes].view(mx.uint32).reshape(*shape[:-1], words(packing, shape[-1]))
    return values(packing, codes, loaded[packing.scales], loaded[packing.biases] if packing.biases else None)
