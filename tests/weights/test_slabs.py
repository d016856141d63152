from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.weights.boxes import slices
from pipeline.weights.families import BaseTensor
from pipeline.weights.slabs import Unsliceable, can_slice, slab
from pipeline.weights.trace import trace

INPUTS = {
    "a": mx.random.normal((6, 8), key=mx.random.key(1)),
    "b": mx.random.normal((6, 8), key=mx.random.key(2)),
    "c": mx.random.normal((4, 3, 8), key=mx.random.key(3)),
}
mx.eval(INPUTS)
TENSORS = {name: BaseTensor("F32", tuple(array.shape), "file") for name, array in INPUTS.items()}

OPERATIONS = {
    "as it is": lambda a, b, c: a,
    "stacked experts": lambda a, b, c: mx.stack([a, b]),
    "fused columns": lambda a, b, c: mx.concatenate([a, b], 1),
    "fused rows": lambda a, b, c: mx.concatenate([a, b]),
    "heads unfolded": lambda a, b, c: a.reshape(2, 3, 8),
    "rows across others": lambda a, b, c: a.reshape(16, 3),
    "blocks of both axes": lambda a, b, c: a.reshape(2, 3, 4, 2) * c[0, :2, :4][:, None, :, None],
    "blocks joined": lambda a, b, c: c.reshape(2, 2, 3, 2, 4).reshape(4, 3, 8).reshape(2, 6, 8),
    "rows and columns regrouped": lambda a, b, c: c.reshape(2, 2, 3, 8).reshape(2, 6, 4, 2),
    "axes of one": lambda a, b, c: a.reshape(1, 6, 1, 8),
    "flattened in front": lambda a, b, c: c.flatten(0, 1),
    "flattened behind": lambda a, b, c: c.flatten(1, 2),
    "unflattened": lambda a, b, c: mx.unflatten(a, 0, (2, 3)),
    "squeezed": lambda a, b, c: mx.squeeze(mx.expand_dims(a, 0), 0),
    "latent attention's keys": lambda a, b, c: a.reshape(2, 3, 8)[:, :2].swapaxes(-1, -2),
    "interleaved heads": lambda a, b, c: mx.split(a.reshape(2, 3, -1), [1], axis=1)[1],
    "transposed": lambda a, b, c: a.T,
    "contiguous": lambda a, b, c: mx.contiguous(c.swapaxes(1, 2)),
    "transposed and folded": lambda a, b, c: c.transpose(2, 0, 1).reshape(8, -1),
    "every second row": lambda a, b, c: a[::2],
    "strided both ways": lambda a, b, c: a[1:, 1::3],
    "padded": lambda a, b, c: mx.pad(a, ((1, 2), (0, 3)), constant_values=2.5),
    "a flat part": lambda a, b, c: c.reshape(96)[5:77].reshape(9, 8),
    "another dtype": lambda a, b, c: a.astype(mx.float16),
    "norm plus one": lambda a, b, c: a + 1,
    "scaled rows": lambda a, b, c: a * c[0, 0][None] / 3,
    "square root": lambda a, b, c: mx.sqrt(mx.abs(a)),
    "new zeros": lambda a, b, c: mx.zeros((4, 3)),
}


def traced(operation):
    found = trace(lambda weights: {"x": operation(**weights)}, TENSORS)
    assert found
    node = found.node("x")
    assert node
    return node


def build(node, box):
    return slab(node, lambda leaf, part: INPUTS[leaf.arguments[0]][slices(part)], box)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_part_is_the_part_of_the_whole(name):
    """Any rectangle, not only rows: an operation further up asks for whatever it needs."""
    node = traced(OPERATIONS[name])
    whole = OPERATIONS[name](**INPUTS)
    assert (node.shape, node.dtype) == (tuple(whole.shape), whole.dtype)
    assert can_slice(node)

    @given(st.tuples(*(st.tuples(st.integers(0, size - 1), st.integers(1, size)) for size in node.shape)))
    def check(bounds):
        box = tuple((min(a, b - 1), max(a + 1, b)) for a, b in bounds)
        part, expected = build(node, box), whole[slices(box)]
        assert part.dtype == expected.dtype
        assert np.array_equal(np.array(part), np.array(expected), equal_nan=True)

    check()


@pytest.mark.parametrize(
    "operation",
    [lambda a, b, c: a.sum(0), lambda a, b, c: mx.softmax(a, 0), lambda a, b, c: mx.rsqrt(a), lambda a, b, c: a[::-1]],
)
def test_what_has_no_exact_rule_is_not_sliced(operation):
    node = traced(operation)
    assert not can_slice(node)
    with pytest.raises(Unsliceable):
        build(node, tuple((0, 1) for _ in node.shape))


def test_views_are_sliced_at_whole_elements_only():
    node = traced(lambda a, b, c: a.view(mx.uint16))
    assert can_slice(node)
    assert np.array_equal(np.array(build(node, ((1, 3), (4, 8)))), np.array(INPUTS["a"].view(mx.uint16)[1:3, 4:8]))
    with pytest.raises(Unsliceable):
        build(node, ((0, 6), (1, 2)))


def test_a_graph_whose_slabs_would_read_the_base_again_and_again_is_not_sliced():
    tensors = {"a": BaseTensor("F32", (4096, 1024), "file")}
    columns = trace(lambda w: {"x": w["a"].reshape(64, 64, 1024).swapaxes(0, 2).reshape(4096, 1024)}, tensors)
    assert columns
    assert can_slice(columns.node("x"))
    halves = trace(lambda w: {"x": w["a"].reshape(2, 2097152).T.reshape(4096, 1024)}, tensors)
    assert halves
    assert not can_slice(halves.node("x"))
