from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.release.candidates import USUAL, candidates, parse_allowed, parse_weighted, weight_of
from pipeline.release.recipe import Module, Precision, Unquantized

UP = Module("model.layers.0.mlp.up_proj", (128, 64))
ROUTER = Module("model.layers.0.mlp.gate", (8, 64), Precision(8))


def test_what_is_named_comes_before_the_wish_and_the_usual():
    allowed = [parse_allowed("mlp.up=2 4,32 bf16"), parse_allowed("up=8")]
    assert candidates(UP, allowed, "float16") == (Precision(2), Precision(4, 32), Unquantized("bfloat16"))
    assert candidates(UP, [], "float16") == (*USUAL, Unquantized("float16"))
    assert candidates(ROUTER, [], "bfloat16") == (Precision(8),)
    assert candidates(ROUTER, [parse_allowed("gate$=4 8")], "bfloat16") == (Precision(4), Precision(8))


def test_groups_that_do_not_divide_are_no_candidates():
    narrow = Module("a", (64, 96))
    assert candidates(narrow, [], "bfloat16") == (Unquantized("bfloat16"),)
    assert candidates(narrow, [parse_allowed(".=4 4,32")], "bfloat16") == (Precision(4, 32),)
    with pytest.raises(UsageError, match="no precision that is allowed for a fits its input dimension 96"):
        candidates(narrow, [parse_allowed(".=4")], "bfloat16")


def test_outside_of_the_layers_errors_count_for_all_of_them():
    assert weight_of("model.layers.3.mlp.up_proj", [], 30) == 1
    assert weight_of("lm_head", [], 30) == 30
    assert weight_of("lm_head", [parse_weighted("lm_head=2.5")], 30) == 2.5


@pytest.mark.parametrize("text", ["mlp", "=2", "mlp=", "mlp=7", "mlp=2,48", "(=2"])
def test_what_cannot_be_allowed(text):
    with pytest.raises(UsageError, match="--allow"):
        parse_allowed(text)


@pytest.mark.parametrize("text", ["mlp", "mlp=x", "mlp=-1", "(=2"])
def test_what_is_no_weight(text):
    with pytest.raises(UsageError, match="--weight"):
        parse_weighted(text)
