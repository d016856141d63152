"""Builds any rectangular part of a parameter from the parts of the base's tensors that it needs."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

import mlx.core as mx

from pipeline.weights.boxes import cover, cut, extents, first_element, regroup, slices, whole, widen
from pipeline.weights.trace import CONSTANT, FROM_FP8, LEAF

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.weights.boxes import Box
    from pipeline.weights.trace import Node

    Read: TypeAlias = Callable[[Node, Box], mx.array]
    Slab: TypeAlias = Callable[[Node, Box], mx.array]
    Rule: TypeAlias = Callable[[Node, Box, Slab], mx.array]

SLAB_BYTES = 2 << 20
"""Measured fastest and smallest, for two threads."""

_TOLERATED = 4  # times its own share that a slab may read, for instance where a reshape crosses rows


class Unsliceable(Exception):
    """The graph holds a primitive that no rule can take a part of."""


def slab(node: Node, read: Read, box: Box) -> mx.array:
    """The part `box` of an array of the graph; `read(leaf, box)` yields parts of the base's tensors."""
    if 0 in extents(box):
        return mx.zeros(extents(box), dtype=node.dtype)
    if node.primitive == LEAF:
        return read(node, box)
    if node.primitive == CONSTANT:
        constant: mx.array = node.arguments[0]
        return constant[slices(box)] if box else constant
    if node.primitive not in _RULES:
        raise Unsliceable(node.primitive)
    return _RULES[node.primitive](node, box, lambda source, part: slab(source, read, part))


def slab_elements(dtype: mx.Dtype) -> int:
    return SLAB_BYTES // dtype.size


def can_slice(node: Node) -> bool:
    """Whether every slab of a parameter can be built from little more than its share of the base.

    Asks the rules themselves, with lazy zeros instead of a file, for a first, a middle and a last slab.
    """
    boxes = list(cut(node.shape, slab_elements(node.dtype)))
    if not boxes:
        return True
    try:
        everything = _bytes_read(node, whole(node.shape))
        for box in {boxes[0], boxes[len(boxes) // 2], boxes[-1]}:
            share = everything * math.prod(extents(box)) / math.prod(node.shape)
            if _bytes_read(node, box) > _TOLERATED * max(share, SLAB_BYTES):
                return False
    except Unsliceable:
        return False
    return True


def _bytes_read(node: Node, box: Box) -> int:
    total = 0

    def read(leaf: Node, part: Box) -> mx.array:
        nonlocal total
        array = mx.zeros(extents(part), dtype=leaf.dtype)
        total += array.nbytes
        return array

    slab(node, read, box)
    return total


def _concatenate(node: Node, box: Box, slab: Slab) -> mx.array:
    axis = node.arguments[0]
    start, stop = box[axis]
    ends = itertools.accumulate(source.shape[axis] for source in node.inputs)
    parts = [
        slab(source, (*box[:axis], (max(start - begin, 0), min(stop, end) - begin), *box[axis + 1 :]))
        for source, end in zip(node.inputs, ends, strict=True)
        if (begin := end - source.shape[axis]) < stop and start < end
    ]
    return parts[0] if len(parts) == 1 else mx.concatenate(parts, axis)


def _split(node: Node, box: Box, slab: Slab) -> mx.array:
    ends, axis = node.arguments
    begin = (0, *ends)[node.position]
    start, stop = box[axis]
    return slab(node.inputs[0], (*box[:axis], (begin + start, begin + stop), *box[axis + 1 :]))


def _slice(node: Node, box: Box, slab: Slab) -> mx.array:
    starts, _, strides = node.arguments
    if min(strides) < 1:
        raise Unsliceable(node.primitive)
    part = tuple(
        (begin + start * stride, begin + (stop - 1) * stride + 1)
        for begin, stride, (start, stop) in zip(starts, strides, box, strict=True)
    )
    return slab(node.inputs[0], part)[tuple(slice(None, None, stride) for stride in strides)]


def _transpose(node: Node, box: Box, slab: Slab) -> mx.array:
    order = list(node.arguments[0])
    return mx.transpose(slab(node.inputs[0], tuple(box[order.index(axis)] for axis in range(len(order)))), order)


def _broadcast(node: Node, box: Box, slab: Slab) -> mx.array:
    (source,) = node.inputs
    aligned = box[len(box) - len(source.shape) :]
    part = tuple((0, 1) if size == 1 else axis for size, axis in zip(source.shape, aligned, strict=True))
    return mx.broadcast_to(slab(source, part), extents(box))


def _pad(node: Node, box: Box, slab: Slab) -> mx.array:
    source, value = node.inputs
    before = dict(zip(node.arguments[0], node.arguments[1], strict=True))
    shifted = [(start - before.get(axis, 0), stop - before.get(axis, 0)) for axis, (start, stop) in enumerate(box)]
    part = tuple(
        (min(max(start, 0), size), min(max(stop, 0), size))
        for size, (start, stop) in zip(source.shape, shifted, strict=True)
    )
    widths = [(have[0] - want[0], want[1] - have[1]) for have, want in zip(part, shifted, strict=True)]
    if 0 in extents(part):
        return mx.broadcast_to(slab(value, ()), extents(box))
    return mx.pad(slab(source, part), widths, constant_values=slab(value, ()))


def _view(node: Node, box: Box, slab: Slab) -> mx.array:
    (source,) = node.inputs
    (start, stop), wide, narrow = box[-1], node.dtype.size, source.dtype.size
    if start * wide % narrow or stop * wide % narrow:
        raise Unsliceable(node.primitive)
    return slab(source, (*box[:-1], (start * wide // narrow, stop * wide // narrow))).view(node.dtype)


def _reshape(node: Node, box: Box, slab: Slab) -> mx.array:
    """Axes of size one carry nothing; of the others one group of axes is cut where it is regrouped, the rest behind."""
    (source,) = node.inputs
    kept = [axis for axis, size in enumerate(source.shape) if size != 1]
    shown = [axis for axis, size in enumerate(node.shape) if size != 1]
    have = tuple(source.shape[axis] for axis in kept)
    want = tuple(node.shape[axis] for axis in shown)
    part = tuple(box[axis] for axis in shown)

    def take(inner: Box) -> mx.array:
        full = [(0, 1)] * len(source.shape)
        for axis, bounds in zip(kept, inner, strict=True):
            full[axis] = bounds
        return slab(source, tuple(full))

    groups = regroup(have, want)
    uneven = [(a, b, c, d) for a, b, c, d in groups if max(b - a, d - c) > 1 and part[c:d] != whole(want[c:d])]
    if len(uneven) > 1:
        _, _, c, d = uneven[1]
        wide = tuple((0, node.shape[at]) if at in shown[c:d] else axis for at, axis in enumerate(box))
        inside = tuple((start - at, stop - at) for (start, stop), (at, _) in zip(box, wide, strict=True))
        return _reshape(node, wide, slab)[slices(inside)]

    inner: list[tuple[int, int]] = []
    for a, b, c, d in groups:
        inner += part[c:d] if b - a == d - c == 1 else whole(have[a:b])
    if not uneven:
        return take(tuple(inner)).reshape(extents(box))

    a, b, c, d = uneven[0]
    before, after = math.prod(extents(part[:c])), math.prod(extents(part[d:]))
    stretch = widen(want[c:d], part[c:d])
    start = first_element(want[c:d], stretch)
    pieces = [
        take((*inner[:a], *piece, *inner[b:])).reshape(before, -1, after)
        for piece in cover(have[a:b], start, start + math.prod(extents(stretch)))
    ]
    array = mx.concatenate(pieces, 1).reshape(before, *extents(stretch), after)
    inside = tuple((start - at, stop - at) for (start, stop), (at, _) in zip(part[c:d], stretch, strict=True))
    return array[(slice(None), *slices(inside))].reshape(extents(box))


def _elementwise(apply: Callable[..., mx.array]) -> Rule:
    return lambda node, box, slab: apply(*(slab(source, box) for source in node.inputs))


def _square_root(node: Node, box: Box, slab: Slab) -> mx.array:
    if node.arguments[0]:
        raise Unsliceable("Rsqrt")
    return mx.sqrt(slab(node.inputs[0], box))


# Only what rounds exactly: exp or rsqrt may differ in the last bit between the vector loop and its remainder, so
# that a slab would not be bit-identical.
_RULES: dict[str, Rule] = {
    "Concatenate": _concatenate,
    "Split": _split,
    "Slice": _slice,
    "Transpose": _transpose,
    "Broadcast": _broadcast,
    "Pad": _pad,
    "View": _view,
    **dict.fromkeys(("Reshape", "Flatten", "Unflatten", "ExpandDims", "Squeeze"), _reshape),
    "AsType": lambda node, box, slab: slab(node.inputs[0], box).astype(node.dtype),
    FROM_FP8: lambda node, box, slab: mx.from_fp8(slab(node.inputs[0], box), dtype=node.dtype),
    "Full": lambda node, box, slab: slab(node.inputs[0], box),
    "Sqrt": _square_root,
    "Negative": _elementwise(mx.negative),
    "Abs": _elementwise(mx.abs),
    "Square": _elementwise(mx.square),
    "Add": _elementwise(mx.add),
    "Subtract": _elementwise(mx.subtract),
    "Multiply": _elementwise(mx.multiply),
    "Divide": _elementwise(mx.divide),
    "Maximum": _elementwise(mx.maximum),
    "Minimum": _elementwise(mx.minimum),
}
