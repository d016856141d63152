from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.weights.boxes import cover, cut, extents, first_element, regroup, runs, slices, whole, widen

SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)


@st.composite
def boxes(draw):
    shape = draw(SHAPES)
    bounds = [sorted(draw(st.tuples(st.integers(0, size - 1), st.integers(1, size)))) for size in shape]
    return shape, tuple((start, max(stop, start + 1)) for start, stop in bounds)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


@given(SHAPES | st.just((0, 3)) | st.just((3, 0)), st.integers(1, 30))
def test_slabs_follow_one_another_and_make_up_the_tensor(shape, most):
    array = numbered(shape)
    parts = [array[slices(box)].ravel() for box in cut(shape, most)]
    assert np.concatenate([np.zeros(0, int), *parts]).tolist() == array.ravel().tolist()
    for box, part in zip(cut(shape, most), parts, strict=True):
        assert part.size <= max(most, math.prod(shape[-1:]))
        if part.size:
            assert first_element(shape, box) == part[0]


def test_a_large_expert_is_cut_within_itself():
    assert list(cut((2, 4, 8), 16)) == [
        ((expert, expert + 1), (row, row + 2), (0, 8)) for expert in range(2) for row in (0, 2)
    ]


@given(boxes())
def test_runs_are_the_memory_of_a_box(drawn):
    shape, box = drawn
    array = numbered(shape)
    memory = [array.ravel()[first : first + length] for first, length in runs(shape, box)]
    assert np.concatenate(memory).tolist() == array[slices(box)].ravel().tolist()


@given(boxes())
def test_widening_makes_one_run(drawn):
    shape, box = drawn
    wide = widen(shape, box)
    assert len(list(runs(shape, wide))) == 1
    assert all(a <= start and stop <= b for (a, b), (start, stop) in zip(wide, box, strict=True))


@given(SHAPES, st.data())
def test_any_stretch_of_memory_is_covered_in_order(shape, data):
    size = math.prod(shape)
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    if not shape:
        return
    array = numbered(shape)
    parts = [array[slices(box)].ravel() for box in cover(shape, start, stop)]
    assert np.concatenate(parts).tolist() == list(range(start, stop))


def test_a_reshape_is_understood_group_by_group():
    assert regroup((6, 8), (2, 3, 8)) == [(0, 1, 0, 2), (1, 2, 2, 3)]
    assert regroup((4, 3, 8), (12, 2, 4)) == [(0, 2, 0, 1), (2, 3, 1, 3)]
    assert regroup((), ()) == []


def test_a_whole_box_has_the_shape():
    assert extents(whole((2, 3))) == (2, 3)
