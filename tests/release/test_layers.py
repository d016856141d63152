"""Layer numbers as a person writes them and as module paths hold them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.release.layers import Layers, layer_class, layer_of


@given(st.sets(st.integers(0, 200), min_size=1))
def test_written_ranges_read_back_as_the_same_layers(numbers):
    layers = Layers.parse(str(Layers.of(numbers)))
    assert layers == Layers.of(numbers)
    assert {number for number in range(300) if number in layers} == numbers


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(0, 60))
def test_layers_after_a_number_are_exactly_those(numbers, last):
    beyond = Layers.of(numbers).after(last)
    assert {number for number in range(100) if number in beyond} == {n for n in numbers if n > last}


def test_the_ranges_of_a_real_recipe():
    layers = Layers.parse("50-60, 1-11,15 ,19")
    assert str(layers) == "1-11,15,19,50-60"
    assert [n for n in (0, 1, 11, 12, 15, 16, 49, 50, 60, 61) if n in layers] == [1, 11, 15, 50, 60]
    assert None not in layers
    assert Layers.parse("1-3,4,6") == Layers.parse("1-4,6")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is neither"),
        ("1,,3", "'' is neither"),
        ("1-2-3", "'1-2-3' is neither"),
        ("-1", "'-1' is neither"),
        ("all", "'all' is neither"),
        ("१", "is neither"),
        ("9999999", "is neither"),
        ("7-3", "write `3-7` instead of `7-3`"),
        ("1-5,5", "names layer 5 twice"),
    ],
)
def test_anything_else_is_refused_with_the_part_that_is_wrong(text, told):
    with pytest.raises(ValueError, match=r"must|names") as raised:
        Layers.parse(text)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("path", "layer", "name"),
    [
        ("model.embed_tokens", None, "embed_tokens"),
        ("language_model.lm_head", None, "lm_head"),
        ("model.layers.3.self_attn.q_proj", 3, "self_attn.q_proj"),
        ("language_model.model.layers.12.mlp.switch_mlp.down_proj", 12, "switch_mlp.down_proj"),
        ("language_model.model.layers.0.mlp.shared_experts.gate_proj", 0, "shared_experts.gate_proj"),
        ("model.layers.7.mlp.experts.5.up_proj", 7, "experts.up_proj"),
        ("model.0.layers.4.mlp.gate", 4, "mlp.gate"),
        ("transformer.h.11.attn.c_attn", 11, "attn.c_attn"),
        ("backbone.layers.2", 2, "backbone.layers"),
    ],
)
def test_where_a_path_holds_its_layer_and_what_remains_for_tables(path, layer, name):
    assert (layer_of(path), layer_class(path)) == (layer, name)
