"""A pattern finds the modules that it was asked for, no other one, and is no longer than it has to be."""

from __future__ import annotations

import re

import pytest

from pipeline.release.layers import layer_class
from pipeline.release.patterns import pattern_of

LAYERS = [
    f"model.layers.{layer}.{name}"
    for layer in range(12)
    for name in (
        "self_attn.q_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.down_proj",
        "mlp.switch_mlp.gate_proj",
        "mlp.switch_mlp.down_proj",
        "mlp.experts.0.w1",
        "mlp.experts.1.w1",
        "mlp.experts.1.w2",
        "lora.v.0",
        "lora.v.1",
    )
]
PATHS = ["model.embed_tokens", "model.embed_tokens_per_layer", *LAYERS, "lm_head"]


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("embed_tokens",), "embed_tokens$"),
        (("self_attn.q_proj", "self_attn.o_proj"), r"self_attn\."),
        (("mlp.gate_proj",), r"\.mlp\.gate_proj$"),
        (("mlp.gate_proj", "mlp.down_proj"), r"\.mlp\.(gate_proj|down_proj)$"),
        (("switch_mlp.gate_proj", "switch_mlp.down_proj"), r"switch_mlp\."),
        (("experts.w1",), r"(^|\.)experts\.(\d+\.)*w1$"),
        (("experts.w1", "experts.w2"), r"experts\."),
        (("lora.v",), r"(^|\.)lora\.(\d+\.)*v(\.\d+)*$"),
        (("embed_tokens", "lm_head"), "(embed_tokens|lm_head)$"),
    ],
)
def test_classes_are_found_by_the_simplest_pattern(names, pattern):
    wanted = {path for path in PATHS if layer_class(path) in names}
    assert wanted
    assert pattern_of(wanted, PATHS) == pattern
    assert {path for path in PATHS if re.search(pattern, path)} == wanted


def test_what_is_no_class_is_found_path_by_path():
    wanted = {"model.layers.3.mlp.gate_proj", "lm_head"}
    assert {path for path in PATHS if re.search(pattern_of(wanted, PATHS), path)} == wanted
