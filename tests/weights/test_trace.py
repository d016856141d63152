from __future__ import annotations

import mlx.core as mx
import pytest

from pipeline.errors import BaseModelError
from pipeline.weights.families import BaseTensor
from pipeline.weights.trace import CONSTANT, LEAF, leaves, placeholders, run_sanitize, trace

TENSORS = {name: BaseTensor("BF16", (4, 8), "file") for name in ("a", "b", "c")}


def test_every_parameter_knows_the_tensors_behind_it():
    found = trace(
        lambda w: {
            "renamed": w["a"],
            "stacked": mx.stack([w["a"], w["b"]]),
            "moved": w["c"] + 1,
            "new": mx.zeros((3,)),
        },
        TENSORS,
    )
    assert found
    nodes = {name: found.node(name) for name in found.outputs}
    assert {name: set(leaves(node)) for name, node in nodes.items()} == {
        "renamed": {"a"},
        "stacked": {"a", "b"},
        "moved": {"c"},
        "new": set(),
    }
    assert nodes["renamed"].primitive == LEAF
    assert (nodes["stacked"].shape, nodes["stacked"].dtype) == ((2, 4, 8), mx.bfloat16)
    one = nodes["moved"].inputs[1]
    assert one.primitive == "Broadcast"
    assert [source.primitive for source in one.inputs] == [CONSTANT]


def test_nothing_is_evaluated():
    """The placeholders stand for 80 TB."""
    huge = {"a": BaseTensor("BF16", (1 << 22, 1 << 23), "file"), "b": BaseTensor("BF16", (1 << 22, 1 << 20), "file")}
    before = mx.get_active_memory()
    found = trace(lambda w: {"x": mx.concatenate([w["a"].T, w["b"].T]).astype(mx.float16)}, huge)
    assert found
    assert found.node("x").shape == ((1 << 23) + (1 << 20), 1 << 22)
    assert mx.get_active_memory() - before < 1 << 20


def test_a_sanitize_that_looks_at_values_has_no_trace():
    assert trace(lambda w: {"a": w["a"] + int(mx.any(w["b"]).item())}, TENSORS) is None


def test_contiguous_is_itself_again_afterwards():
    before = mx.contiguous
    trace(lambda w: {"a": mx.contiguous(w["a"].T)}, TENSORS)
    assert mx.contiguous is before


def test_what_sanitize_misses_or_refuses_is_said():
    def refuse(weights):
        raise ValueError("signs must be -1 or +1")

    def miss(weights):
        return {"x": weights["layers.0.weight"]}

    for sanitize, message in ((miss, r"lacks layers\.0\.weight"), (refuse, r"signs must be -1 or \+1")):
        assert trace(sanitize, TENSORS) is None
        with pytest.raises(BaseModelError, match=message):
            run_sanitize(sanitize, placeholders(TENSORS))


def test_a_dtype_that_mlx_has_not_is_refused_by_name():
    with pytest.raises(BaseModelError, match="a is stored as F64"):
        trace(lambda w: w, {"a": BaseTensor("F64", (2,), "file")})
