from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.weights.families import BaseTensor, fold, unfold

FILES = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
NAMES = st.lists(
    st.sampled_from(["a", ".", "layers", "7", "0", "12", "007", "{}", "{", "é", "-", " ", "/", ":"]), max_size=6
).map("".join)
TENSORS = st.builds(
    BaseTensor,
    st.sampled_from(["BF16", "F32"]),
    st.lists(st.integers(0, 3), max_size=2).map(tuple),
    st.sampled_from(FILES),
)


@given(st.dictionaries(NAMES, TENSORS, max_size=40))
@example({"a{}": BaseTensor("F32", (), FILES[0]), "a5": BaseTensor("F32", (), FILES[0])})
def test_folding_loses_nothing(tensors):
    rows = json.loads(json.dumps(fold(tensors, FILES)))
    assert unfold(rows, FILES) == tensors


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_any_set_of_numbers_survives(places):
    tensors = {f"layers.{a}.experts.{b}.weight": BaseTensor("BF16", (2,), FILES[a % 2]) for a, b in places}
    assert unfold(fold(tensors, FILES), FILES) == tensors


def test_a_family_reads_as_a_person_would_write_it():
    tensors = {
        f"layers.{layer}.experts.{expert}.up.weight": BaseTensor("BF16", (8, 4), FILES[layer // 2])
        for layer in range(1, 4)
        for expert in range(384)
    } | {"norm.weight": BaseTensor("F32", (4,), FILES[0])}
    assert fold(tensors, FILES) == [
        {
            "name": "layers.{}.experts.{}.up.weight",
            "dtype": "BF16",
            "shape": [8, 4],
            "in": ["0: 1 / 0-383", "1: 2-3 / 0-383"],
        },
        {"name": "norm.weight", "dtype": "F32", "shape": [4], "in": ["0:"]},
    ]
