"""The shards of a model: how tensors are divided among files, and the exact bytes of each file's header."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from pipeline.weights.headers import BITS, LENGTH_BYTES, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.weights.boxes import Shape

_ALIGNMENT = 8


def nbytes(dtype: str, shape: Shape) -> int:
    return math.prod(shape) * BITS[dtype] // 8


def divide(sizes: Iterable[int], most: int) -> list[range]:
    """Which tensors share a file, by mlx-lm's rule: in order, at most `most` bytes a file unless one tensor is more."""
    starts: list[int] = []
    count = filled = 0
    for size in sizes:
        if not starts or filled + size > most:
            starts.append(count)
            filled = 0
        filled += size
        count += 1
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


def shard_name(number: int, count: int) -> str:
    """The name that mlx-lm gives the file, `number` counted from 1."""
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def arrange(file: str, tensors: Sequence[tuple[str, str, Shape]]) -> tuple[bytes, tuple[Tensor, ...]]:
    """The first bytes of a safetensors file and where each (name, dtype, shape) lies behind them.

    Wide dtypes come first, so that every tensor is aligned to its elements, as other readers like it.
    """
    ordered = sorted(tensors, key=lambda tensor: -BITS[tensor[1]])
    ends = [0]
    for _, dtype, shape in ordered:
        ends.append(ends[-1] + nbytes(dtype, shape))
    entries: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    for (name, dtype, shape), start, end in zip(ordered, ends, ends[1:], strict=False):
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    origin = LENGTH_BYTES + len(header)
    return len(header).to_bytes(LENGTH_BYTES, "little") + header, tuple(
        Tensor(name, dtype, shape, file, origin + start)
        for (name, dtype, shape), start in zip(ordered, ends, strict=False)
    )


def index_json(tensors: Iterable[Tensor], *, total_size: int, total_parameters: int) -> str:
    """The text of model.safetensors.index.json as mlx-lm writes it."""
    weight_map = {tensor.name: tensor.file for tensor in sorted(tensors, key=lambda tensor: tensor.name)}
    metadata = {"total_size": total_size, "total_parameters": total_parameters}
    return json.dumps({"metadata": metadata, "weight_map": weight_map}, indent=4)
