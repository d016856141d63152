"""Arithmetic on boxes, the rectangular parts of a tensor: a (start, stop) pair for every axis."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Shape: TypeAlias = tuple[int, ...]
Box: TypeAlias = tuple[tuple[int, int], ...]


def whole(shape: Sequence[int]) -> Box:
    return tuple((0, size) for size in shape)


def extents(box: Box) -> Shape:
    """The shape of the part."""
    return tuple(stop - start for start, stop in box)


def slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in box)


def cut(shape: Shape, most: int) -> Iterator[Box]:
    """Boxes of at most `most` elements that follow one another in memory and make up the tensor.

    The last axis is never cut, since the groups of a quantization lie along it.
    """
    axis = next((axis for axis in range(len(shape) - 1) if math.prod(shape[axis + 1 :]) <= most), len(shape) - 2)
    if axis < 0:
        yield whole(shape)
        return
    step = max(1, most // max(1, math.prod(shape[axis + 1 :])))
    for outer in itertools.product(*(range(size) for size in shape[:axis])):
        before = tuple((index, index + 1) for index in outer)
        for start in range(0, shape[axis], step):
            yield (*before, (start, min(start + step, shape[axis])), *whole(shape[axis + 1 :]))


def first_element(shape: Shape, box: Box) -> int:
    """Where the box begins, counted in elements of the row-major tensor."""
    position = 0
    for size, (start, _) in zip(shape, box, strict=True):
        position = position * size + start
    return position


def runs(shape: Shape, box: Box) -> Iterator[tuple[int, int]]:
    """The box as stretches of memory in order: first element and length of each."""
    inner = len(shape)
    while inner and box[inner - 1] == (0, shape[inner - 1]):
        inner -= 1
    if inner == 0:
        yield 0, math.prod(shape)
        return
    start, stop = box[inner - 1]
    row = math.prod(shape[inner:])
    for outer in itertools.product(*(range(*axis) for axis in box[: inner - 1])):
        before = tuple((index, index + 1) for index in outer)
        position = first_element(shape[:inner], (*before, (start, start + 1)))
        yield position * row, (stop - start) * row


def widen(shape: Shape, box: Box) -> Box:
    """The smallest box around this one that lies in memory as one stretch."""
    first = next((axis for axis, (start, stop) in enumerate(box) if stop - start > 1), len(box) - 1)
    return (*box[: first + 1], *whole(shape[first + 1 :]))


def cover(shape: Shape, start: int, stop: int) -> Iterator[Box]:
    """The stretch [start, stop) of a tensor's memory as boxes in order, as few as there are."""
    if len(shape) <= 1:
        yield ((start, stop),)[: len(shape)]
        return
    row = math.prod(shape[1:])
    first, last = -(-start // row), stop // row
    if first > last:
        yield from _within_row(shape, first - 1, start, stop)
        return
    if start % row:
        yield from _within_row(shape, first - 1, start, first * row)
    if first < last:
        yield ((first, last), *whole(shape[1:]))
    if stop % row:
        yield from _within_row(shape, last, last * row, stop)


def _within_row(shape: Shape, index: int, start: int, stop: int) -> Iterator[Box]:
    row = math.prod(shape[1:])
    for box in cover(shape[1:], start - index * row, stop - index * row):
        yield ((index, index + 1), *box)


def regroup(source: Shape, target: Shape) -> list[tuple[int, int, int, int]]:
    """How a reshape moves axes: (a, b, c, d) where axes a:b of `source` hold the same elements as c:d of `target`."""
    groups: list[tuple[int, int, int, int]] = []
    b = d = 0
    while b < len(source) and d < len(target):
        a, c = b, d
        left, right = source[b], target[d]
        b, d = b + 1, d + 1
        while left != right:
            if left < right:
                left, b = left * source[b], b + 1
            else:
                right, d = right * target[d], d + 1
        groups.append((a, b, c, d))
    return groups
