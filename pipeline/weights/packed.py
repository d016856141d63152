"""Weights that the base stores packed, several of them in an integer, as the unpacked tensors that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError
from pipeline.weights.config import packed_bits
from pipeline.weights.families import BaseTensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.manifest import Json

_PACKED, _SCALE, _SHAPE = ".weight_packed", ".weight_scale", ".weight_shape"
_WORD = 32


@dataclass(frozen=True)
class Unpacked:
    """tensors: what `sanitize` is given, by name and in order.

    parts: the tensors of the base behind each of them that is not stored as it is.
    """

    tensors: Mapping[str, BaseTensor]
    parts: Mapping[str, tuple[str, ...]]

    def stored(self, names: Iterable[str]) -> Iterator[str]:
        """The tensors of the base behind these."""
        return (part for name in names for part in self.parts.get(name, (name,)))


def unpacked(config: Mapping[str, Json], stored: Mapping[str, BaseTensor]) -> Unpacked:
    """Tensors of a base without its packing: `weight` in place of compressed-tensors' `weight_packed` and its scales.

    A weight has the dtype of its scales. `BaseModelError` when a packed tensor has no scales of its shape.
    """
    bits = packed_bits(config)
    if bits is None:
        return Unpacked(stored, {})
    tensors: dict[str, BaseTensor] = {}
    parts: dict[str, tuple[str, ...]] = {}
    for name, tensor in stored.items():
        stem = name.removesuffix(_PACKED)
        if stem != name:
            scale = stored.get(stem + _SCALE)
            if scale is None or len(tensor.shape) != 2 or scale.shape[0] != tensor.shape[0]:
                raise BaseModelError(f"{name} has no {_SCALE[1:]} that fits", hint="The base model is incomplete.")
            rows, words = tensor.shape
            tensors[f"{stem}.weight"] = BaseTensor(scale.dtype, (rows, words * _WORD // bits), tensor.file)
            known = (stem + part for part in (_PACKED, _SCALE, _SHAPE))
            parts[f"{stem}.weight"] = tuple(part for part in known if part in stored)
        elif not (name.endswith((_SCALE, _SHAPE)) and name.rpartition(".")[0] + _PACKED in stored):
            tensors[name] = tensor
    return Unpacked(tensors, parts)
