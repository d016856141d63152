from __future__ import annotations

from pipeline.release.layers import Layers
from pipeline.release.overview import overview
from pipeline.release.recipe import Module, Precision, Unquantized, assign


def test_a_row_for_every_class_and_decider(llama, make_recipe):
    modules = [
        *llama(layers=4),
        Module("model.layers.1.mlp.gate", (8, 576), Precision(8)),
        Module("model.layers.2.mlp.gate", (8, 576), Precision(8)),
    ]
    recipe = make_recipe(
        ("embed_tokens", Precision(8)),
        (r"mlp\.down_proj", Layers.parse("0,3"), Precision(6)),
        (r"mlp\.down_proj", Precision(4)),
        (r"layers\.2\.mlp\.gate$", Unquantized("bfloat16")),
        otherwise=Precision(5),
    )
    rows = [row.to_json() for row in overview(assign(recipe, modules))]
    brief = {(row["name"], row["layers"]): (row["modules"], row["precision"], row["by"], row["wish"]) for row in rows}
    assert brief == {
        ("embed_tokens", None): (1, "8 bit g64", "rule", None),
        **{(f"self_attn.{name}_proj", "0-3"): (4, "5 bit g64", "otherwise", None) for name in "qkvo"},
        ("mlp.gate_proj", "0-3"): (4, "5 bit g64", "otherwise", None),
        ("mlp.up_proj", "0-3"): (4, "5 bit g64", "otherwise", None),
        ("mlp.down_proj", "0,3"): (2, "6 bit g64", "rule", None),
        ("mlp.down_proj", "1-2"): (2, "4 bit g64", "rule", None),
        ("mlp.gate", "1"): (1, "8 bit g64", "architecture", "8 bit g64"),
        ("mlp.gate", "2"): (1, "bfloat16", "rule", "8 bit g64"),
    }
    assert [row["rule"]["line"] for row in rows if row["rule"]] == [1, 2, 3, 4]
    assert sum(row["modules"] for row in rows) == len(modules)


def test_a_class_keeps_together_where_its_first_module_stands(llama, make_recipe):
    recipe = make_recipe((r"down_proj", Layers.parse("2"), Precision(6)), otherwise=Precision(4))
    names = [row.name for row in overview(assign(recipe, llama(layers=4)))]
    assert names == sorted(names, key=names.index)
    assert names.count("mlp.down_proj") == 2
    assert names[names.index("mlp.down_proj") + 1] == "mlp.down_proj"


def test_only_a_wish_that_is_not_granted_is_overridden(make_recipe):
    modules = [Module("a", (8, 64), Precision(8)), Module("b", (8, 64), Precision(8)), Module("c", (8, 64))]
    rows = overview(assign(make_recipe(("[ac]", Precision(8)), ("b", Precision(4))), modules))
    assert [row.overrides for row in rows] == [False, True, False]
