"""Which module gets which precision, and what is refused before anything is done."""

from __future__ import annotations

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ReleaseFileError
from pipeline.release.layers import Layers
from pipeline.release.recipe import FORMATS, Module, Precision, Unquantized, assign

EIGHT, FOUR, TWO = Precision(8), Precision(4), Precision(2)
BF16 = Unquantized("bfloat16")


def problems(recipe, modules):
    with pytest.raises(ReleaseFileError) as raised:
        assign(recipe, modules)
    return raised.value.problems


@given(
    order=st.lists(
        st.sampled_from(["q_proj", "self_attn", "layers.1.", "mlp", "down_proj", "embed"]), min_size=1, unique=True
    ),
    bits=st.lists(st.sampled_from(FORMATS["affine"].bits), min_size=6, max_size=6),
)
def test_the_first_rule_that_matches_decides(order, bits, make_recipe, llama):
    rules = list(zip(order, map(Precision, bits), strict=False))
    recipe, modules = make_recipe(*rules, otherwise=BF16), llama(3)
    first = {m.path: next((index for index, word in enumerate(order) if word in m.path), None) for m in modules}
    idle = set(range(len(rules))) - set(first.values())
    if idle:
        told = problems(recipe, modules)
        assert [problem.split()[0] for problem in told] == [f"r.yaml:{index + 1}:1:" for index in sorted(idle)]
    else:
        expected = {path: BF16 if index is None else rules[index][1] for path, index in first.items()}
        assert assign(recipe, modules).precisions == expected


def test_a_rule_may_be_limited_to_layers(make_recipe, llama):
    recipe = make_recipe((r"mlp\.", Layers.parse("0-1,4"), EIGHT), (r"mlp\.", FOUR), otherwise=BF16)
    assignment = assign(recipe, llama(5))
    assert [p for n, p in assignment.precisions.items() if n.endswith("up_proj")] == [EIGHT, EIGHT, FOUR, FOUR, EIGHT]
    assert assignment.counts == (9, 6)


def test_the_architectures_wish_yields_to_a_rule_but_not_to_otherwise(make_recipe):
    gate = Module("model.layers.0.mlp.gate", (64, 128), EIGHT)
    assert assign(make_recipe(otherwise=TWO), [gate]).modules[0].by == "architecture"
    assert assign(make_recipe(otherwise=None), [gate]).precisions == {gate.path: EIGHT}
    assert assign(make_recipe(("gate", TWO), otherwise=BF16), [gate]).modules[0].by == 0
    plain = Module(gate.path, gate.shape)
    assert assign(make_recipe(otherwise=TWO), [plain]).modules[0].by == "otherwise"


def test_a_rule_that_matches_nothing_names_its_line(make_recipe, llama):
    told = problems(make_recipe(("mlp", FOUR), ("mpl", FOUR), otherwise=FOUR), llama(1))
    assert told == ("r.yaml:2:1: rules[1]: the rule `mpl` matches no module of this model; remove or correct it",)


def test_a_rule_in_the_shadow_of_others_names_them(make_recipe, llama):
    recipe = make_recipe((r"[qk]_proj", FOUR), (r"[vo]_proj", EIGHT), ("self_attn", TWO), otherwise=FOUR)
    [problem] = problems(recipe, llama(2))
    assert problem == (
        "r.yaml:3:1: rules[2]: the rule `self_attn` never decides: 8 modules that it matches are taken by "
        "`[qk]_proj` on line 1, `[vo]_proj` on line 2; move it up or remove it"
    )


def test_overriding_all_of_an_inherited_rule_is_what_extending_is_for(repository, llama):
    from pipeline.release.load import load_recipe

    repository.recipe(
        "child", "version: 1\nsummary: More.\nextends: plain\nrules: [{match: mlp, bits: 6, why: More.}]\n"
    )
    assert assign(load_recipe(repository.root, "child"), llama(1)).counts == (3, 0)


def test_layers_that_the_model_does_not_have_are_named(make_recipe, llama):
    told = problems(make_recipe(("mlp", Layers.parse("0-3,5-9"), FOUR), otherwise=FOUR), llama(4))
    assert told == ("r.yaml:1:1: rules[0]: names layers 5-9, but the last layer of this model is 3",)


@pytest.mark.parametrize(
    ("precision", "dimension", "told"),
    [
        (
            Precision(4, 128),
            576,
            "128 does not divide the input dimension 576 of a.0.b; group size 32 or 64 would work",
        ),
        (Precision(4, 64), 80, "no group size of affine fits, but mode nvfp4 would work"),
        (Precision(4, 32, "mxfp4"), 100, "no group size fits: leave it unquantized with `dtype: bfloat16`"),
    ],
)
def test_an_impossible_group_size_says_what_would_work(precision, dimension, told, make_recipe):
    [problem] = problems(make_recipe(("b", precision)), [Module("a.0.b", (8, dimension))])
    assert problem.startswith("r.yaml:1:1: rules[0]: ")
    assert told in problem


def test_modules_of_one_dimension_make_one_problem_wherever_their_precision_came_from(make_recipe, llama):
    wide = Precision(4, 128)
    [problem] = problems(make_recipe(otherwise=wide), llama(2))
    assert problem.startswith("r.yaml:99:1: otherwise: group size 128 does not divide the input dimension 576 of ")
    assert "model.embed_tokens and 12 more;" in problem
    [problem] = problems(make_recipe(otherwise=FOUR), [Module("a.0.b", (8, 576), wide)])
    assert "the architecture's own wish" in problem


def test_modules_that_no_rule_matches_are_listed_by_class(make_recipe, llama):
    [problem] = problems(make_recipe(("mlp", FOUR), ("embed", FOUR)), llama(3))
    assert problem == (
        "r.yaml:99:1: otherwise: no rule matches 12 modules: self_attn.k_proj (3), self_attn.o_proj (3), "
        "self_attn.q_proj (3), self_attn.v_proj (3); add a rule, or a precision under `otherwise`"
    )


def test_every_problem_between_recipe_and_model_comes_at_once(make_recipe, llama):
    recipe = make_recipe(
        ("up", Precision(4, 128)), ("nothing", FOUR), ("up_proj", FOUR), ("mlp", Layers.parse("9"), FOUR)
    )
    assert [problem.partition(": ")[0] for problem in problems(recipe, llama(2))] == [
        "r.yaml:1:1",
        "r.yaml:2:1",
        "r.yaml:3:1",
        "r.yaml:4:1",
        "r.yaml:4:1",
        "r.yaml:99:1",
    ]


@pytest.mark.parametrize(
    "precision",
    [Precision(b, g, mode) for mode, known in FORMATS.items() for b in known.bits for g in known.group_sizes],
    ids=str,
)
def test_every_precision_is_one_that_mlx_writes_in_as_many_bits(precision):
    weight = mx.zeros((2, 256), mx.bfloat16)
    parts = mx.quantize(weight, group_size=precision.group_size, bits=precision.bits, mode=precision.mode)
    assert sum(part.nbytes for part in parts) * 8 / weight.size == precision.bits_per_weight


def test_precisions_read_as_the_field_writes_them():
    assert [str(p) for p in (Precision(5), Precision(4, 32, "mxfp4"), BF16)] == ["5 bit g64", "mxfp4", "bfloat16"]
    assert (BF16.bits_per_weight, Unquantized("float32").bits_per_weight) == (16, 32)


def test_the_method_is_part_of_what_the_weights_depend_on(repository):
    """Tasks keep a precision's text, locks the recipe's digest; those from before there was a method still hold."""
    from pipeline.release.load import load_recipe

    def load(method):
        repository.recipe("plain", repository.recipe_text.replace("bits: 4", f"bits: 4{method}"))
        return load_recipe(repository.root, "plain")

    plain, searched = load(""), load(", method: search")
    assert [str(recipe.rules[0].decision) for recipe in (plain, searched)] == ["4 bit g64", "4 bit g64 search"]
    assert searched.digest != plain.digest == load(", method: round").digest
    assert searched.rules[0].decision.bits_per_weight == plain.rules[0].decision.bits_per_weight
    assert "method" not in str(plain.decisions())


def test_the_digest_follows_decisions_and_not_words(repository):
    from pipeline.release.load import load_recipe

    def load(text):
        repository.recipe("plain", text)
        return load_recipe(repository.root, "plain")

    text = repository.recipe_text
    before = load(text)
    reworded = load(
        "# A comment.\n" + text.replace("Because.", "For another reason.").replace("version: 1", "version: 2")
    )
    assert reworded.digest == before.digest
    assert reworded.words() != before.words()
    spelt_out = load(text.replace("bits: 4", "mode: affine, bits: 4, group_size: 64"))
    assert (spelt_out.digest, spelt_out.words()) == (before.digest, before.words())
    for old, new in (("bits: 4", "bits: 5"), ("bits: 8", "bits: 6"), ("mlp", "mlp$"), ("mlp,", "mlp, layers: 3,")):
        changed = load(text.replace(old, new))
        assert changed.digest != before.digest, new
        assert changed.words() == before.words(), new
