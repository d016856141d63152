from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.release.recipe import Precision
from pipeline.weights.families import BaseTensor
from pipeline.weights.packed import Packing, Unpacked
from pipeline.weights.trace import trace
from pipeline.weights.unpack import as_stored, values

FOUR = Precision(4, 32)
TENSORS = {name: BaseTensor("BF16", (4, 64), "file") for name in ("a", "b", "c", "d")}
PACKINGS = {
    "a": Packing(FOUR, "a.codes", "a.scales"),
    "b": Packing(FOUR, "b.codes", "b.scales"),
    "c": Packing(Precision(4, 64), "c.codes", "c.scales"),
}


def parts(operation, wanted=FOUR, packings=PACKINGS):
    found = trace(lambda weights: {"x": operation(**weights)}, Unpacked(TENSORS, packings).tensors)
    assert found
    nodes = as_stored(found.node("x"), packings, wanted)
    return nodes and [node.shape for node in nodes]


@pytest.mark.parametrize(
    ("operation", "rows"),
    [
        (lambda a, b, c, d: a, (4,)),
        (lambda a, b, c, d: mx.stack([a, b]), (2, 4)),
        (lambda a, b, c, d: mx.concatenate([a, b])[2:6], (4,)),
        (lambda a, b, c, d: a.reshape(2, 2, 64).swapaxes(0, 1), (2, 2)),
        (lambda a, b, c, d: mx.split(a, 2)[1][None], (1, 2)),
        (lambda a, b, c, d: b[::2], (2,)),
    ],
)
def test_where_only_rows_move_codes_and_scales_move_with_them(operation, rows):
    assert parts(operation) == [(*rows, 8), (*rows, 2)]


def test_a_search_finds_nothing_better_than_what_is_stored():
    assert parts(lambda a, b, c, d: a, Precision(4, 32, method="search")) == parts(lambda a, b, c, d: a)


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, b, c, d: a.T,
        lambda a, b, c, d: a.reshape(2, 2, 64).swapaxes(1, 2),
        lambda a, b, c, d: mx.concatenate([a, b], 1),
        lambda a, b, c, d: a[:, 32:],
        lambda a, b, c, d: a[::-1],
        lambda a, b, c, d: a.reshape(8, 32),
        lambda a, b, c, d: a + 1,
        lambda a, b, c, d: a.astype(mx.float16),
        lambda a, b, c, d: c,
        lambda a, b, c, d: mx.stack([a, c]),
        lambda a, b, c, d: mx.concatenate([a, d]),
    ],
)
def test_where_anything_else_happens_nothing_is_kept(operation):
    assert parts(operation) is None


def test_a_square_matrix_that_is_transposed_is_not_kept():
    square = {"a": BaseTensor("BF16", (64, 64), "file")}
    found = trace(lambda weights: {"x": weights["a"].T}, square)
    assert found
    assert as_stored(found.node("x"), PACKINGS, FOUR) is None


def test_biases_are_a_third_part_and_another_precision_keeps_nothing():
    with_biases = {"a": Packing(FOUR, "a.codes", "a.scales", "a.biases")}
    assert parts(lambda a, b, c, d: a, packings=with_biases) == [(4, 8), (4, 2), (4, 2)]
    assert parts(lambda a, b, c, d: a, wanted=Precision(3, 32)) is None


@given(st.sampled_from([2, 3, 4, 5, 6, 8]), st.sampled_from([32, 64, 128]), st.booleans(), st.integers(0, 1 << 30))
def test_every_width_of_codes_is_unpacked_exactly(bits, group_size, with_biases, seed):
    random = np.random.default_rng(seed)
    codes = random.integers(0, 1 << bits, (3, 2 * group_size))
    scales, biases = (mx.array(random.standard_normal((3, 2)).astype(np.float32)).astype(mx.bfloat16) for _ in "sb")
    flags = (codes[..., None] >> np.arange(bits)) & 1
    words = np.packbits(flags.reshape(3, -1).astype(np.uint8), axis=-1, bitorder="little").view(np.uint32)
    factors, shifts = (np.array(part.astype(mx.float32))[..., None] for part in (scales, biases))
    numbers = codes.reshape(3, 2, group_size).astype(np.float32)
    wanted = numbers * factors + shifts if with_biases else (numbers - (1 << bits >> 1)) * factors
    packing = Packing(Precision(bits, group_size), "codes", "scales", "biases" if with_biases else None)
    got = values(packing, mx.array(words), scales, biases if with_biases else None)
    assert got.dtype == mx.float32
    assert np.array_equal(np.array(got), wanted.reshape(3, -1))
