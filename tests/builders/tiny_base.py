"""Tiny base models with random weights, of a few architectures and as they are published."""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "vocab_size": 96,
    "eos_token_id": 1,
}
_MIXTURE = {"num_experts_per_tok": 2, "moe_intermediate_size": 64}

CONFIGS: Mapping[str, dict] = {
    "llama": {**_SMALL, "model_type": "llama", "tie_word_embeddings": False, "attention_bias": True},
    "llama-tied": {**_SMALL, "model_type": "llama", "tie_word_embeddings": True, "_name_or_path": "x"},
    "gemma": {**_SMALL, "model_type": "gemma", "head_dim": 32},
    "qwen3_moe": {
        **_SMALL,
        **_MIXTURE,
        "model_type": "qwen3_moe",
        "num_experts": 4,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [0],
        "head_dim": 32,
        "rope_theta": 1e4,
        "tie_word_embeddings": False,
        "max_position_embeddings": 512,
        "norm_topk_prob": True,
    },
    "deepseek_v3": {
        **_SMALL,
        **_MIXTURE,
        "model_type": "deepseek_v3",
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
        "kv_lora_rank": 64,
        "q_lora_rank": 64,
        "qk_rope_head_dim": 32,
        "qk_nope_head_dim": 64,
        "v_head_dim": 64,
        "vision_config": {"depth": 1},
    },
    "gpt2": {
        "model_type": "gpt2",
        "n_ctx": 64,
        "n_embd": 64,
        "n_head": 2,
        "n_layer": 2,
        "n_positions": 64,
        "layer_norm_epsilon": 1e-5,
        "vocab_size": 96,
    },
    # Its sanitize normalizes the head by a reduction, which cannot be sliced.
    "baichuan_m1": {
        **_SMALL,
        "model_type": "baichuan_m1",
        "rope_theta": 1e4,
        "sliding_window": 32,
        "sliding_window_layers": [1],
        "conv_window": 2,
    },
}
TORCH = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def write(folder: Path, name: str, dtype: str = "BF16", files: int = 1, scale: float = 1.0, **more) -> None:
    """A base model of an architecture in the new `folder`, its weights divided into so many files.

    scale: standard deviation of the weights; what runs through those of 1 soon overflows every perplexity.
    """
    _write_base(folder, {**CONFIGS[name], "torch_dtype": TORCH[dtype], **more}, dtype, files, scale)


def _write_base(folder: Path, config: dict, dtype: str, files: int, scale: float) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 2]}')
    _write_tokenizer(folder)
    model_class, arguments = _get_classes(config)
    parameters = tree_flatten(model_class(arguments.from_dict(dict(config))).parameters())
    weights = {}
    for name, array in parameters:
        key = mx.random.key(zlib.crc32(name.encode()))
        random = mx.random.normal(array.shape, scale=scale, key=key).astype(getattr(mx, TORCH[dtype]))
        weights.update(_as_published(config["model_type"], name, random))
    parts = [sorted(weights)[index::files] for index in range(files)]
    names = [f"model-{index + 1:05d}-of-{files:05d}.safetensors" for index in range(files)]
    for file, part in zip(names if files > 1 else ["model.safetensors"], parts, strict=True):
        mx.save_safetensors(str(folder / file), {name: weights[name] for name in part}, metadata={"format": "pt"})


def _as_published(model_type: str, name: str, array) -> dict:
    """What the tensor is called, and how it lies, in a repository that is not mlx-lm's."""
    import mlx.core as mx

    if found := re.fullmatch(r"(.*mlp)\.switch_mlp\.(\w+)\.weight", name):
        return {f"{found[1]}.experts.{e}.{found[2]}.weight": mx.contiguous(one) for e, one in enumerate(array)}
    if name.endswith("embed_q.weight"):
        heads, rank, rows = array.shape
        both = mx.random.normal((heads * 2 * rows, rank), key=mx.random.key(7)).astype(array.dtype)
        return {name.replace("embed_q", "kv_b_proj"): both}
    if name.endswith("unembed_out.weight"):
        return {}
    if name.endswith("e_score_correction_bias"):
        return {name: array.astype(mx.float32)}
    if model_type == "gpt2":
        transposed = re.search(r"\.(c_attn|c_proj|c_fc)\.weight", name)
        return {name.removeprefix("model."): mx.contiguous(array.T) if transposed else array}
    return {name: array}


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "hello": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
