"""Recipes from names and shapes: every rule decides, wishes hold, and bits go where errors spread."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import upstream

from pipeline.manifest import Manifest
from pipeline.release.layers import layer_class
from pipeline.release.mixed import FOR_SMALL, LEVELS, USUAL, Level, has_experts, propose_mixed, usual
from pipeline.release.recipe import Module, Precision, Unquantized, assign
from pipeline.weights.architecture import modules
from pipeline.weights.base import BaseModel


def proposed(of, level=USUAL, held=None):
    draft = propose_mixed(of, level, held or {}, "bfloat16", ())
    return draft, assign(draft.recipe("proposal"), of)


def by_class(assignment):
    found = {}
    for one in assignment.modules:
        found.setdefault(layer_class(one.module.path), []).append(str(one.precision))
    return {name: sorted(set(precisions)) for name, precisions in found.items()}


def dense(layers=16, hidden=1024, *, head=True):
    yield Module("model.embed_tokens", (32000, hidden))
    for layer in range(layers):
        path = f"model.layers.{layer}"
        yield from (Module(f"{path}.self_attn.{name}_proj", (hidden, hidden)) for name in "qkvo")
        yield from (Module(f"{path}.mlp.{name}_proj", (4 * hidden, hidden)) for name in ("gate", "up"))
        yield Module(f"{path}.mlp.down_proj", (hidden, 4 * hidden))
    if head:
        yield Module("lm_head", (32000, hidden))


def mixture(layers=8, hidden=512, experts=64):
    yield Module("model.embed_tokens", (32000, hidden))
    for layer in range(layers):
        path = f"model.layers.{layer}"
        yield from (Module(f"{path}.self_attn.{name}_proj", (hidden, hidden)) for name in "qkvo")
        yield Module(f"{path}.self_attn.embed_q", (16, 128, 64))
        yield Module(f"{path}.mlp.gate", (experts, hidden), Precision(8))
        yield from (Module(f"{path}.mlp.switch_mlp.{name}_proj", (experts, 256, hidden)) for name in ("gate", "up"))
        yield Module(f"{path}.mlp.switch_mlp.down_proj", (experts, hidden, 256))
        yield Module(f"{path}.mlp.shared_expert.down_proj", (hidden, 256))
    yield Module("lm_head", (32000, hidden))


def test_a_dense_model_keeps_bits_where_errors_spread():
    draft, assignment = proposed(list(dense()))
    assert by_class(assignment) == {
        "embed_tokens": ["6 bit g64"],
        **{f"self_attn.{name}_proj": ["6 bit g64"] for name in "qkvo"},
        "mlp.gate_proj": ["4 bit g64"],
        "mlp.up_proj": ["4 bit g64"],
        "mlp.down_proj": ["4 bit g64", "5 bit g64"],
        "lm_head": ["8 bit g64"],
    }
    [finer] = [rule for rule in draft.rules if rule.layers]
    assert (finer.match, str(finer.layers)) == (r"mlp\.down_proj$", "0-1,4,7,10,13-15")


def test_a_table_that_is_the_head_too_has_the_bits_of_a_head():
    _, assignment = proposed(list(dense(head=False)))
    assert by_class(assignment)["embed_tokens"] == ["8 bit g64"]


def test_routed_experts_pay_for_everything_else():
    draft, assignment = proposed(list(mixture()), Level(2, "ends", 2))
    precisions = by_class(assignment)
    assert precisions["switch_mlp.gate_proj"] == ["2 bit g64"]
    assert precisions["switch_mlp.down_proj"] == ["2 bit g64", "3 bit g64"]
    assert precisions["self_attn.embed_q"] == precisions["shared_expert.down_proj"] == ["8 bit g64"]
    assert "experts" in draft.summary


def test_what_the_architecture_wishes_is_left_to_it():
    _, assignment = proposed(list(mixture()))
    assert {one.by for one in assignment.modules if one.module.path.endswith("mlp.gate")} == {"architecture"}


def test_a_wish_that_no_group_allows_is_decided_by_a_rule():
    odd = [*dense(), Module("model.layers.0.odd", (8, 96), Precision(8))]
    _, assignment = proposed(odd)
    assert str(assignment.precisions["model.layers.0.odd"]) == "8 bit g32"
    odd[-1] = Module("model.layers.0.odd", (8, 100), Precision(8))
    _, assignment = proposed(odd)
    assert assignment.precisions["model.layers.0.odd"] == Unquantized("bfloat16")


def test_what_is_packed_already_is_never_given_more_bits():
    of = list(mixture())
    held = {module.path: Precision(4, 32) for module in of if "switch_mlp" in module.path}
    for bits, expected in ((6, {"4 bit g32"}), (4, {"4 bit g32"}), (3, {"3 bit g64", "4 bit g32"}), (2, {"2 bit g64"})):
        draft, assignment = proposed(of, Level(bits, "all" if bits == 3 else "ends", bits), held)
        given = {str(assignment.precisions[path]) for path in held}
        assert expected <= given
        assert any("taken as they are" in rule.why for rule in draft.rules) is (bits > 2)


@pytest.mark.parametrize("model", [dense, mixture])
def test_every_level_is_a_little_smaller_than_the_one_before(model):
    of = list(model())
    sizes = []
    for level in LEVELS:
        _, assignment = proposed(of, level)
        sizes.append(sum(math.prod(one.module.shape) * one.precision.bits_per_weight for one in assignment.modules))
    assert all(0.83 * before < after <= before for before, after in pairwise(sizes))
    assert sizes[-1] < 0.5 * sizes[0]


def test_a_small_model_begins_with_more_bits():
    assert usual(list(dense())) == FOR_SMALL
    assert usual(list(dense(hidden=8192))) == USUAL
    assert not has_experts(list(dense()))


@pytest.fixture(scope="module")
def architectures(pytestconfig):
    configs = upstream.collect(upstream.fetch(Path(pytestconfig.cache.mkdir("mlx-lm"))))
    return [modules(BaseModel("someone/model", "0" * 40, Manifest(()), config, {})) for config in configs.values()]


@pytest.mark.parametrize("level", [LEVELS[0], USUAL, LEVELS[-1]], ids=str)
def test_every_architecture_that_mlx_lm_tests_gets_a_recipe_that_fits(level, architectures):
    assert len(architectures) > 100
    for of in architectures:
        _, assignment = proposed(of, level)  # refuses dead rules, groups that do not divide, and modules left over
        for one in assignment.modules:
            wish = one.module.architecture
            possible = not isinstance(wish, Precision) or one.module.shape[-1] % wish.group_size == 0
            assert (one.by == "architecture") is (wish is not None and possible), one.module.path
            assert one.by != "otherwise", one.module.path
