"""Tensor types of llama.cpp: the recipe decides as the list itself, for the GGUF of the same model."""

from __future__ import annotations

import re

import pytest

from pipeline.errors import ReleaseFileError
from pipeline.release.load import load_recipe
from pipeline.release.recipe import Precision, Unquantized
from pipeline.release.tensor_types import import_tensor_types, is_tensor_types

# The names that convert_hf_to_gguf.py gives, written out by module so that nothing is shared with the code under test.
GGUF = {
    "embed_tokens": "token_embd",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.embed_q": "attn_k_b",
    "self_attn.unembed_out": "attn_v_b",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "switch_mlp.gate_proj": "ffn_gate_exps",
    "switch_mlp.up_proj": "ffn_up_exps",
    "switch_mlp.down_proj": "ffn_down_exps",
    "shared_experts.gate_proj": "ffn_gate_shexp",
    "shared_experts.up_proj": "ffn_up_shexp",
    "shared_experts.down_proj": "ffn_down_shexp",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
MLX = {
    "q8_0": Precision(8),
    "q6_k": Precision(6),
    "q5_k": Precision(5),
    "q4_k": Precision(4),
    "iq4_xs": Precision(4),
    "q4_1": Precision(4, 32),
    "q3_k": Precision(3),
    "iq2_xxs": Precision(2),
    "mxfp4": Precision(4, 32, "mxfp4"),
    "bf16": Unquantized("bfloat16"),
}


def gguf_name(path):
    name = GGUF[".".join([part for part in path.split(".") if not part.isdigit()][-2 if ".layers." in path else -1 :])]
    layer = re.search(r"\.layers\.(\d+)\.", path)
    return f"blk.{layer[1]}.{name}.weight" if layer else f"{name}.weight"


def as_llama_quantize_does(pairs, name):
    return next((MLX[value.lower()] for pattern, value in pairs if re.search(pattern, name)), None)


DENSE = [
    ("token_embd", "Q8_0"),
    (r"blk\.(0|1|28|29)\.ffn_down", "q6_K"),
    (r"blk\.[0-9]\.attn_v", "q5_K"),
    ("attn_(q|k)", "iq4_xs"),
    ("output", "q6_K"),
    ("ffn", "q4_1"),
]
MIXTURE = [
    ("ffn_gate_inp", "bf16"),
    (r"blk\.([0-3])\.ffn_.*_exps", "q3_K"),
    ("exps", "iq2_xxs"),
    (r"^output\.weight", "q6_K"),
    (r"\.attn_output\.", "mxfp4"),
]
LATENT = [
    ("attn_k", "q8_0"),  # also attn_kv_a_mqa and attn_k_b
    (r"attn_v_b|attn_q_a", "bf16"),
    (r"blk\.0\.ffn_(gate|up|down)", "q8_0"),
    (r"shexp", "q6_K"),
    (r"blk\.(1|2|3|58|59|60)\.ffn_down_exps", "q4_k"),
    ("ffn_down_exps", "q3_K"),
    ("ffn_(gate|up)_exps", "iq2_xxs"),
]


@pytest.mark.parametrize(
    ("pairs", "model"),
    [(DENSE, "llama_paths"), (MIXTURE, "mixtral_paths"), (LATENT, "kimi_paths")],
    ids=["llama", "mixtral", "kimi"],
)
def test_a_recipe_decides_as_the_tensor_types(pairs, model, repository, request):
    text = "\n".join(f"{pattern}={value}" for pattern, value in pairs)
    assert is_tensor_types(text)
    repository.recipe("imported", import_tensor_types(text, "types.txt").text())
    recipe = load_recipe(repository.root, "imported")
    paths = request.getfixturevalue(model)
    found = {path: next((r.decision for r in recipe.rules if r.matches(path)), None) for path in paths}
    assert found == {path: as_llama_quantize_does(pairs, gguf_name(path)) for path in paths}
    assert sum(decision is not None for decision in found.values()) > len(paths) / 2


def test_the_reason_says_what_became_of_the_type():
    draft = import_tensor_types("attn_v=q3_K\n", "types.txt", otherwise=Precision(4))
    why = "Asked for by attn_v=q3_K on line 1 of types.txt; 3.4375 bits a weight there, 3 bit g64 here."
    assert (draft.rules[0].why, draft.otherwise) == (why, Precision(4))
    assert import_tensor_types("attn_v=q3_K\n", "types.txt").otherwise is None


def test_a_line_that_never_decides_is_left_out_and_said():
    draft = import_tensor_types("ffn_down=q4_K\nblk\\.3\\.ffn_down_exps=q6_K\n", "types.txt")
    assert [rule.match for rule in draft.rules] == [
        r"\.mlp\.down_proj$|\.(switch_mlp|switch_glu|experts)\.down_proj$|\.(shared_experts?|shared_mlp)\.down_proj$"
    ]
    assert any(remark.startswith("Line 2, ") for remark in draft.remarks)


def test_a_pattern_without_an_end_needs_the_number_of_layers():
    text = r"blk\.([3-9]|\d\d+)\.attn_q=q4_k"
    with pytest.raises(ReleaseFileError, match="--layers"):
        import_tensor_types(text, "types.txt")
    assert [str(rule.layers) for rule in import_tensor_types(text, "types.txt", 61).rules] == ["3-60"]


def test_every_line_that_does_not_map_is_named():
    text = "attn_norm=q6_K\nattn_v=q9_0\nssm_in=q4_K\ntoken_embd=q8_0\nattn_q=4\nblk\n"
    with pytest.raises(ReleaseFileError) as refused:
        import_tensor_types(text, "types.txt")
    heads = [problem.partition("\n")[0] for problem in refused.value.problems]
    assert [head.split(":")[1] for head in heads] == ["1", "2", "3", "5", "6"]
    assert "'attn_norm' is found in no tensor name" in heads[0]
    assert "did you mean `q8_0`?" in heads[1]


@pytest.mark.parametrize("text", ["lm_head=8\nmlp=mxfp4\n", r"layers\.(1|2)\.self_attn=bf16", "--q-override lm_head=6"])
def test_overrides_of_mlx_lm_are_told_apart(text):
    assert not is_tensor_types(text)
