"""Packed weights as plain numbers, exactly; and, where nothing but their order changes, as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import mlx.core as mx

from pipeline.weights.packed import middle
from pipeline.weights.trace import LEAF

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.release.recipe import Precision
    from pipeline.weights.packed import Packing
    from pipeline.weights.trace import Node

_WORD_BITS = 32
_SMALLEST_GROUP = 32  # of the affine mode


def words(packing: Packing, count: int) -> int:
    """How many 32-bit words hold `count` codes of whole groups."""
    return count * packing.precision.bits // _WORD_BITS


def values(packing: Packing, codes: mx.array, scales: mx.array, biases: mx.array | None = None) -> mx.array:
    """What the packed words stand for, in float32.

    An affine weight is multiplied and shifted there because mlx's own dequantization does so in the dtype of the
    scales: in bfloat16 it is off by up to 3.4 %. What the other modes can express, float32 holds exactly.
    """
    bits, group_size, mode = packing.precision.bits, packing.precision.group_size, packing.precision.mode
    if mode != "affine":
        return mx.dequantize(codes, scales, None, group_size, bits, mode, dtype=mx.float32)
    *rows, groups = scales.shape
    numbers = _numbers(codes, bits).reshape(*rows, groups, group_size)
    factors = scales.astype(mx.float32)[..., None]
    if biases is None:
        weights = (numbers - middle(packing.precision)) * factors
    else:
        weights = numbers * factors + biases.astype(mx.float32)[..., None]
    return weights.reshape(*rows, groups * group_size)


def _numbers(codes: mx.array, bits: int) -> mx.array:
    """The codes one by one: what they stand for when every scale is one."""
    *rows, count = codes.shape
    ones = mx.ones((*rows, count * _WORD_BITS // bits // _SMALLEST_GROUP))
    return mx.dequantize(codes, ones, mx.zeros_like(ones), _SMALLEST_GROUP, bits)


def as_stored(node: Node, packings: Mapping[str, Packing], wanted: Precision) -> tuple[Node, ...] | None:
    """The graphs of a parameter's codes, scales and (where stored) biases, when the base holds them as they are wanted.

    None unless every leaf is packed with the wanted precision and the graph moves whole rows only.
    """
    parts: list[Node] = []
    for part in ("codes", "scales", "biases"):
        found = _part(node, part, packings, wanted, {})
        if found is None:
            return tuple(parts) if part == "biases" else None
        parts.append(found)
    return tuple(parts)


def _part(
    node: Node, part: str, packings: Mapping[str, Packing], wanted: Precision, known: dict[Node, Node | None]
) -> Node | None:
    if node not in known:
        known[node] = _leaf_part(node, part, packings, wanted) if node.primitive == LEAF else None
        if _moves_rows(node):
            inputs = [_part(source, part, packings, wanted, known) for source in node.inputs]
            found = [source for source in inputs if source]
            if len(found) == len(inputs):
                shape = (*node.shape[:-1], found[0].shape[-1])
                known[node] = replace(node, shape=shape, inputs=tuple(found))
    return known[node]


def _leaf_part(node: Node, part: str, packings: Mapping[str, Packing], wanted: Precision) -> Node | None:
    (name,) = node.arguments
    packing = packings.get(name)
    if packing is None or packing.precision != wanted.form or not getattr(packing, part):
        return None
    *rows, count = node.shape
    width = words(packing, count) if part == "codes" else count // wanted.group_size
    return replace(node, shape=(*rows, width), arguments=(name, part))


def _moves_rows(node: Node) -> bool:
    """Whether an array is made by moving whole rows, so that what holds for weights holds for words and scales."""
    last = len(node.shape) - 1
    if not node.inputs or any(source.shape[-1:] != node.shape[-1:] for source in node.inputs):
        return False
    keeps_rows: dict[str, Callable[..., bool]] = {
        "Concatenate": lambda axis: axis != last,
        "Split": lambda _ends, axis: axis != last,
        "Transpose": lambda order: order[-1] == last,
        "Slice": lambda _starts, _ends, strides: min(strides) > 0,
        **dict.fromkeys(("Reshape", "Flatten", "Unflatten", "ExpandDims", "Squeeze"), lambda *_arguments: True),
    }
    return node.primitive in keeps_rows and keeps_rows[node.primitive](*node.arguments)
