"""Overrides of mlx_lm.convert: the recipe decides as the overrides themselves, interpreted here as mlx-lm's PR does."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ReleaseFileError
from pipeline.release.load import load_recipe
from pipeline.release.overrides import import_overrides, parse_value
from pipeline.release.recipe import Module, Precision, Unquantized, assign

MODES = {"mxfp4": (4, 32), "nvfp4": (4, 16), "mxfp8": (8, 32)}
DTYPES = {"bf16": "bfloat16", "bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}


def as_the_pull_request_says(pairs, path, usual=(4, 64, "affine")):
    """Bits, group size and mode, or a dtype: the first pattern that is found in the path decides."""
    for pattern, value in pairs:
        if re.search(pattern, path):
            if value in MODES:
                return (*MODES[value], value)
            if value in DTYPES:
                return DTYPES[value]
            bits, _, group = value.partition(",")
            return int(bits), int(group or 64), "affine"
    return usual


def plain(decision):
    if isinstance(decision, Unquantized):
        return decision.dtype
    return decision.bits, decision.group_size, decision.mode


def decided(recipe, path):
    return plain(next((rule.decision for rule in recipe.rules if rule.matches(path)), recipe.otherwise))


def reloaded(repository, draft):
    repository.recipe("imported", draft.text())
    return load_recipe(repository.root, "imported")


def check(repository, pairs, paths):
    text = "".join(f"{pattern}={value}\n" for pattern, value in pairs)
    recipe = reloaded(repository, import_overrides(text, "list.txt"))
    assert {path: decided(recipe, path) for path in paths} == {
        path: as_the_pull_request_says(pairs, path) for path in paths
    }
    return recipe


LLAMA = [
    ("embed_tokens", "8"),
    (r"layers\.(0|1|29)\.mlp\.down_proj", "6"),
    (r"layers\.(2|3|10|11|12)\.(mlp|self_attn)\.(down|q)_proj", "mxfp4"),
    (r"model\.layers\.\d+\.self_attn\.(k|v)_proj", "bf16"),
    (r"\.o_proj$", "3,32"),
]
MIXTRAL = [
    (r"block_sparse_moe\.gate$", "float32"),
    (r"layers\.(?:0|1|2)\.block_sparse_moe\.switch_mlp", "6"),
    (r"switch_mlp\.(gate|up)_proj", "2"),
    (r"switch_mlp", "mxfp8"),
    ("lm_head|embed_tokens", "5,128"),
]
KIMI = [
    ("lm_head", "8"),
    (r"^language_model\.model\.layers\.(0)\.mlp\.", "8"),
    (r"layers\.(1|2|3|58|59|60)\.mlp\.switch_mlp\.down_proj", "4"),
    (r"mlp\.switch_mlp\.down_proj$", "3"),
    ("switch_mlp", "2"),
    (r"self_attn\.(?=embed_q|unembed_out)", "bfloat16"),
    ("self_attn", "nvfp4"),
]


@pytest.mark.parametrize(
    ("pairs", "model"),
    [(LLAMA, "llama_paths"), (MIXTRAL, "mixtral_paths"), (KIMI, "kimi_paths")],
    ids=["llama", "mixtral", "kimi"],
)
def test_a_recipe_decides_as_the_overrides(pairs, model, repository, request):
    check(repository, pairs, request.getfixturevalue(model))


def test_layers_that_a_pattern_lists_become_the_layers_of_a_rule(repository, llama_paths):
    recipe = check(repository, LLAMA, llama_paths)
    assert [str(rule.layers) if rule.layers else None for rule in recipe.rules] == [
        None,
        "0-1,29",
        "2-3,10-12",
        None,
        None,
    ]
    assert recipe.rules[1].match == r"layers\.\d+\.mlp\.down_proj"


@pytest.mark.parametrize(
    "pattern",
    [
        r"lm_head|layers\.(1|2)\.mlp",
        r"layers\.(1|2)\.mlp|lm_head",
        r"layers\.(1|2)",
        r"layers\.(01|2)\.mlp",
        r"(x)?layers\.(1|2)\.mlp",
        r"layers\.(1|2)\.mlp\.(up|down)_proj",
        r"layers\.(1|2)\.mlp\.((up|down)_proj|gate)",
        r"layers\.(1|2)\.mlp\.\1",
    ],
)
def test_layers_are_taken_out_of_a_pattern_only_where_it_stays_the_same(pattern, repository, llama_paths):
    check(repository, [(pattern, "8")], llama_paths)


@given(
    pairs=st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from(
                    ["mlp", r"\.[qk]_proj$", "lm_head", r"layers\.1", r"down|up", "^model", "a'b", ": #", "-"]
                ),
                st.lists(st.integers(0, 31), min_size=1, max_size=5).map(
                    lambda n: rf"layers\.({'|'.join(map(str, n))})\.mlp"
                ),
                st.text("abdeglmoprs.()|\\*+?^$'\": #{}[]", min_size=1, max_size=12),
            ),
            st.sampled_from(["2", "8", "4,32", "mxfp4", "nvfp4", "bf16", "float32"]),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_list_reads_back_to_the_same_decisions(pairs, repository, llama_paths):
    text = "".join(f"{pattern}={value}\n" for pattern, value in pairs)
    stripped = [(pattern.lstrip(), value) for pattern, value in pairs]
    if any(not pattern or pattern.startswith(("#", "-")) for pattern, _ in stripped):
        return
    try:
        draft = import_overrides(text, "list.txt")
    except ReleaseFileError:
        with pytest.raises((re.error, OverflowError, FutureWarning, DeprecationWarning)):
            [re.compile(pattern) for pattern, _ in stripped]
        return
    recipe = reloaded(repository, draft)
    for path in llama_paths[::7]:
        assert decided(recipe, path) == as_the_pull_request_says(stripped, path)


COMMAND = r"""
# how the last one was made
mlx_lm.convert --hf-path someone/model -q \
  --q-bits 5 --q-group-size 32 \
  --q-override "lm_head=8" \
  --q-override="layers\.(3|4)\.self_attn\.q_proj=mxfp4" --override 'v_proj=4,64'
"""


def test_a_command_line_with_its_own_bits(repository, llama_paths):
    recipe = reloaded(repository, import_overrides(COMMAND, "convert.sh"))
    pairs = [("lm_head", "8,32"), (r"layers\.(3|4)\.self_attn\.q_proj", "mxfp4"), ("v_proj", "4,64")]
    for path in llama_paths:
        assert decided(recipe, path) == as_the_pull_request_says(pairs, path, (5, 32, "affine"))
    assert [rule.why for rule in recipe.rules][1:] == [
        r"Asked for by layers\.(3|4)\.self_attn\.q_proj=mxfp4 on line 6 of convert.sh.",
        "Asked for by v_proj=4,64 on line 6 of convert.sh.",
    ]


def test_bits_beside_a_mode_are_affine_in_groups_of_64(repository):
    recipe = reloaded(repository, import_overrides("mlx_lm.convert --q-mode mxfp4 --q-override lm_head=8", "x.sh"))
    assert (decided(recipe, "lm_head"), decided(recipe, "other")) == ((8, 64, "affine"), (4, 32, "mxfp4"))


def test_a_second_override_with_the_same_pattern_is_left_out_and_said(repository, llama_paths):
    draft = import_overrides("mlp=8\nmlp=4\n", "list.txt")
    assert "# Line 2, mlp=4, is left out: line 1 comes first." in draft.text().splitlines()
    check(repository, [("mlp", "8"), ("mlp", "4")], llama_paths)


def test_an_imported_recipe_can_be_assigned(repository, llama):
    recipe = reloaded(repository, import_overrides("embed_tokens=8\nmlp=4,32\n", "list.txt", Precision(6)))
    assert assign(recipe, llama()).counts == (1, 90)
    with_wish = [Module("model.layers.0.router", (8, 64), Precision(8)), *llama()]
    assert assign(recipe, with_wish).precisions["model.layers.0.router"] == Precision(8)


def test_every_wrong_line_is_named():
    text = "lm_head=7\nmlp=4,48\nnothing\n(=3\nmlp=mxfp5\n=8\nmlp=4,\n"
    with pytest.raises(ReleaseFileError) as refused:
        import_overrides(text, "list.txt")
    heads = [problem.partition("\n")[0] for problem in refused.value.problems]
    assert [head.split(":")[1] for head in heads] == ["1", "2", "3", "4", "5", "6", "7"]
    assert "has bits 7" in heads[0]
    assert "has group size 48" in heads[1]
    assert "must be PATTERN=VALUE, not 'nothing'" in heads[2]
    assert "not a regular expression" in heads[3]
    assert "did you mean `mxfp8`?" in heads[4] or "did you mean `mxfp4`?" in heads[4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no PATTERN=VALUE"),
        ("mlx_lm.convert --q-override 'lm_head=8", "quotes of this command line are never closed"),
        ("mlx_lm.convert --quant-predicate mixed_2_6 --q-override a=8", "--quant-predicate' has no counterpart"),
        ("mlx_lm.convert --q-bits 7 --q-override a=8", "what all other modules get has bits 7"),
        ("mlx_lm.convert --q-bits many --q-override a=8", "--q-bits must be a number, not many"),
        ("mlx_lm.convert --q-mode nvfp5 --q-override a=8", "did you mean `nvfp4`?"),
        ("mlx_lm.convert --q-override", "must be PATTERN=VALUE"),
    ],
)
def test_what_is_no_list_of_overrides_is_refused(text, words):
    with pytest.raises(ReleaseFileError, match=re.escape(words)):
        import_overrides(text, "list.txt")


def test_values():
    assert parse_value("8") == Precision(8)
    assert parse_value("4,32") == Precision(4, 32)
    assert parse_value("8", 128) == Precision(8, 128)
    assert parse_value("nvfp4") == Precision(4, 16, "nvfp4")
    assert parse_value("bf16") == Unquantized("bfloat16")
