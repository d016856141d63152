"""Reads a llama.cpp GGUF file into bfloat16, the same bits on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import BaseModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_WEIGHT = ".weight"
_SCALES = ".scales"
_BIASES = ".biases"
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Gguf:
    """Tensors by their llama.cpp names, quantized ones as mlx reads them: packed words, scales and biases.

    metadata: numbers, strings and lists of them under the keys of the GGUF specification.
    """

    metadata: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.arrays if not name.endswith((_SCALES, _BIASES))))

    def bits(self, name: str) -> int:
        """How many bits hold one weight, scales not counted."""
        array = self.arrays[name]
        if array.dtype != np.uint32:
            return array.dtype.itemsize * 8
        # llama.cpp's groups are 32 weights, so a group takes as many 32-bit words as a weight takes bits.
        return int(array.shape[-1] // self.arrays[name.removesuffix(_WEIGHT) + _SCALES].shape[-1])

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the weights, not of the words they are packed into."""
        array = self.arrays[name]
        if array.dtype != np.uint32:
            return array.shape
        return (*array.shape[:-1], array.shape[-1] * 32 // self.bits(name))

    def bfloat16(self, name: str) -> NDArray[np.uint16]:
        """The weights rounded to bfloat16, as bit patterns because numpy has no such type."""
        shape = self.shape(name)
        out = np.empty(shape, np.uint16)
        # By blocks of rows: in float32, an embedding would need several times the memory of its result.
        rows = max(1, _BLOCK // max(1, int(np.prod(shape[1:]))))
        for start in range(0, shape[0], rows):
            block = slice(start, start + rows)
            out[block] = to_bfloat16(self._float32(name, block))
        return out

    def _float32(self, name: str, rows: slice) -> NDArray[np.float32]:
        weights: NDArray[Any] = self.arrays[name][rows]
        if weights.dtype != np.uint32:
            return weights.astype(np.float32)
        bits = self.bits(name)
        stem = name.removesuffix(_WEIGHT)
        scales = self.arrays[stem + _SCALES][rows].astype(np.float32)[..., None]
        biases = self.arrays[stem + _BIASES][rows].astype(np.float32)[..., None]
        places = np.arange(0, 32, bits, dtype=np.uint32)
        numbers = (weights[..., None] >> places) & np.uint32((1 << bits) - 1)
        # At most 8 bits times a float16 is exact in float32: one rounding, in the addition, fused or not.
        values: NDArray[np.float32] = numbers.reshape(*scales.shape[:-1], 32).astype(np.float32) * scales + biases
        return values.reshape(*weights.shape[:-1], -1)


def read_gguf(path: Path) -> Gguf:
    """Everything in a GGUF file; `BaseModelError` when it is damaged.

    Exact for F32, F16, Q8_0, Q4_1 and Q4_0. mlx hands over any other quantization as float16, rounded.
    """
    import mlx.core as mx

    try:
        loaded = mx.load(str(path), format="gguf", return_metadata=True)
    except (RuntimeError, ValueError) as error:
        raise BaseModelError(f"{path.name} cannot be read as GGUF: {error}") from error
    if not isinstance(loaded, tuple):
        raise BaseModelError(f"{path.name} cannot be read as GGUF: it has no metadata")
    tensors, metadata = loaded
    for name, tensor in tensors.items():
        if tensor.dtype not in {mx.uint32, mx.float32, mx.float16}:
            raise BaseModelError(f"{path.name}: {name} is {tensor.dtype}, which is not read from GGUF")
    return Gguf(
        metadata={key: value.tolist() if isinstance(value, mx.array) else value for key, value in metadata.items()},
        arrays={name: np.asarray(tensor) for name, tensor in tensors.items()},
    )


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Bit patterns of the nearest bfloat16, ties to even; `BaseModelError` for what is not a finite number."""
    if not np.isfinite(values).all():
        raise BaseModelError("the weights hold infinities or NaN")
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
