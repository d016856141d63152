"""A Kimi K2.5 of a few hundred thousand weights: its names, files, packing, nested config and kind of tokenizer.

The same bytes on every machine. Its words make no sense, but everything loads, quantizes and generates.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline.weights.gguf import to_bfloat16

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Stored = tuple[str, tuple[int, ...], bytes]

LAYERS = 4
EXPERTS = 4
GROUP = 32
_HIDDEN, _MOE, _DENSE, _RANK, _HEADS, _HEAD, _ROPE = 128, 64, 192, 64, 2, 64, 32
_SPECIAL = ("[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_middle|>", "[UNK]", "[PAD]")
_MERGES = ("th", "he", "in", "er", "an", "on", "re", "the", "ing", "and", " t", " a", " o", " s", " the", " and")
_BLOCKS = 2

_TEXT_CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "dtype": "bfloat16",
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": _HIDDEN,
    "intermediate_size": _DENSE,
    "kv_lora_rank": _RANK,
    "max_position_embeddings": 4096,
    "model_type": "kimi_k2",
    "moe_intermediate_size": _MOE,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": EXPERTS,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": _HEADS,
    "num_experts_per_tok": 2,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": _HEADS,
    "num_nextn_predict_layers": 0,
    "q_lora_rank": _RANK,
    "qk_nope_head_dim": _HEAD,
    "qk_rope_head_dim": _ROPE,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 4.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 1024,
        "type": "yarn",
    },
    "rope_theta": 50000.0,
    "routed_scaling_factor": 2.827,
    "scoring_func": "sigmoid",
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "v_head_dim": _HEAD,
    "quantization_config": {
        "config_groups": {
            "group_0": {
                "input_activations": None,
                "output_activations": None,
                "targets": ["Linear"],
                "weights": {
                    "actorder": None,
                    "block_structure": None,
                    "dynamic": False,
                    "group_size": GROUP,
                    "num_bits": 4,
                    "observer": "minmax",
                    "observer_kwargs": {},
                    "strategy": "group",
                    "symmetric": True,
                    "type": "int",
                },
            }
        },
        "format": "pack-quantized",
        "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
    },
}

_TOKENIZER = '''\
"""A byte-pair tokenizer that reads tiktoken.model, in plain Python: what a repository with remote code brings along."""

import base64
import os
import shutil

from transformers import PreTrainedTokenizer


class TikTokenTokenizer(PreTrainedTokenizer):
    vocab_files_names = {"vocab_file": "tiktoken.model"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file, **options):
        self.vocab_file = vocab_file
        with open(vocab_file, "rb") as lines:
            pairs = [line.split() for line in lines if line.strip()]
        self.ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
        self.pieces = {rank: token for token, rank in self.ranks.items()}
        super().__init__(**options)

    @property
    def vocab_size(self):
        return len(self.ranks)

    def get_vocab(self):
        known = {self._convert_id_to_token(rank): rank for rank in self.pieces}
        return {**known, **self.added_tokens_encoder}

    def _tokenize(self, text, **options):
        parts = [bytes([byte]) for byte in text.encode("utf-8")]
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda at: self.ranks.get(parts[at] + parts[at + 1], 1 << 30))
            if parts[best] + parts[best + 1] not in self.ranks:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return [part.decode("latin-1") for part in parts]

    def _convert_token_to_id(self, token):
        return self.ranks.get(token.encode("latin-1"))

    def _convert_id_to_token(self, index):
        return self.pieces[index].decode("latin-1")

    def convert_tokens_to_string(self, tokens):
        return b"".join(
            token.encode("utf-8") if token in self.added_tokens_encoder else token.encode("latin-1") for token in tokens
        ).decode("utf-8", "replace")

    def save_vocabulary(self, save_directory, filename_prefix=None):
        name = (filename_prefix + "-" if filename_prefix else "") + "tiktoken.model"
        target = os.path.join(save_directory, name)
        if os.path.abspath(target) != os.path.abspath(self.vocab_file):
            shutil.copyfile(self.vocab_file, target)
        return (target,)
'''

_CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_{{ 'user' if message.role == 'user' else 'assistant' }}|>{{ message.role }}<|im_middle|>{{ message.content }}\
<|im_end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_assistant|>assistant<|im_middle|>{%- endif -%}
"""


def config() -> dict:
    vocabulary = vocabulary_size()
    ids = {"bos_token_id": vocabulary - 8, "eos_token_id": vocabulary - 7, "pad_token_id": vocabulary - 1}
    return {
        "architectures": ["KimiK25ForConditionalGeneration"],
        **ids,
        "dtype": "bfloat16",
        "model_type": "kimi_k25",
        "text_config": {**_TEXT_CONFIG, **ids, "vocab_size": vocabulary},
        "tie_word_embeddings": False,
        "vision_config": {"patch_size": 14, "vt_hidden_size": 32, "vt_num_hidden_layers": _BLOCKS},
    }


def vocabulary_size() -> int:
    return 256 + len(_MERGES) + len(_SPECIAL)


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    weight_map: dict[str, str] = {}
    files: dict[str, dict[str, Stored]] = {}
    for file, name, stored in _tensors():
        files.setdefault(file, {})[name] = stored
        weight_map[name] = file
    for file, held in files.items():
        (folder / file).write_bytes(_safetensors(held))
    index = {
        "metadata": {"total_size": sum(len(stored[2]) for held in files.values() for stored in held.values())},
        "weight_map": dict(sorted(weight_map.items())),
    }
    _write_json(folder / "model.safetensors.index.json", index)
    _write_json(folder / "config.json", config())
    _write_json(folder / "generation_config.json", {"eos_token_id": vocabulary_size() - 6, "max_length": 4096})
    _write_tokenizer(folder)
    (folder / "LICENSE").write_text("Modified MIT License\n\nFor tests only.\n")
    (folder / "THIRD_PARTY_NOTICES.md").write_text("# Third-party notices\n\nNone.\n")
    (folder / "README.md").write_text("# A tiny Kimi\n")


def weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Random, of the size that keeps activations in range, and the same for the same name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return (random.standard_normal(shape) / math.sqrt(shape[-1])).astype(np.float32)


def packed(name: str, shape: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Codes from 0 to 15, of which 8 stands for 0, and the bit patterns of their bfloat16 scales."""
    rows, columns = shape
    groups = weight(name, shape).reshape(rows, columns // GROUP, GROUP)
    scales = to_bfloat16(np.abs(groups).max(-1) / np.float32(7))
    exact = (scales.astype(np.uint32) << 16).view(np.float32)
    codes = np.clip(np.rint(groups / exact[..., None]), -8, 7) + 8
    return codes.reshape(shape).astype(np.uint8), scales


def expert_shapes() -> Mapping[str, tuple[int, int]]:
    return {"gate_proj": (_MOE, _HIDDEN), "up_proj": (_MOE, _HIDDEN), "down_proj": (_HIDDEN, _MOE)}


def expert_name(layer: int, expert: int, projection: str) -> str:
    return f"language_model.model.layers.{layer}.mlp.experts.{expert}.{projection}"


def _tensors() -> Iterator[tuple[str, str, Stored]]:
    """File, name and content of everything in the repository."""
    for layer in range(LAYERS):
        for name, stored in _layer(f"language_model.model.layers.{layer}.", layer):
            yield _file(layer + 1), name, stored
    rest = {
        1: {
            "language_model.lm_head.weight": (vocabulary_size(), _HIDDEN),
            "language_model.model.embed_tokens.weight": (vocabulary_size(), _HIDDEN),
            "language_model.model.norm.weight": (_HIDDEN,),
        },
        2: {"mm_projector.pre_norm.weight": (32,), "mm_projector.proj.0.weight": (32, 32)},
        3: {
            **{f"vision_tower.encoder.blocks.{block}.wqkv.weight": (96, 32) for block in range(_BLOCKS)},
            "vision_tower.patch_embed.pos_emb.weight": (4, 4, 32),
            "vision_tower.patch_embed.proj.weight": (32, 3, 14, 14),
        },
    }
    for number, shapes in rest.items():
        for name, shape in shapes.items():
            yield _file(LAYERS + number), name, _plain(name, shape)


def _file(number: int) -> str:
    return f"model-{number:05d}-of-{LAYERS + 3:06d}.safetensors"


def _plain(name: str, shape: tuple[int, ...]) -> Stored:
    values = weight(name, shape) + np.float32("norm" in name)
    return "BF16", shape, to_bfloat16(values).tobytes()


def _layer(prefix: str, layer: int) -> Iterator[tuple[str, Stored]]:
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm": (_HIDDEN,),
        "post_attention_layernorm": (_HIDDEN,),
        "self_attn.q_a_layernorm": (_RANK,),
        "self_attn.kv_a_layernorm": (_RANK,),
        "self_attn.q_a_proj": (_RANK, _HIDDEN),
        "self_attn.q_b_proj": (_HEADS * (_HEAD + _ROPE), _RANK),
        "self_attn.kv_a_proj_with_mqa": (_RANK + _ROPE, _HIDDEN),
        "self_attn.kv_b_proj": (_HEADS * 2 * _HEAD, _RANK),
        "self_attn.o_proj": (_HIDDEN, _HEADS * _HEAD),
    }
    dense, width = ("mlp", _DENSE) if layer == 0 else ("mlp.shared_experts", _MOE)
    shapes |= {f"{dense}.gate_proj": (width, _HIDDEN), f"{dense}.up_proj": (width, _HIDDEN)}
    shapes |= {f"{dense}.down_proj": (_HIDDEN, width)}
    if layer > 0:
        shapes["mlp.gate"] = (EXPERTS, _HIDDEN)
        bias = f"{prefix}mlp.gate.e_score_correction_bias"
        yield bias, ("F32", (EXPERTS,), weight(bias, (EXPERTS,)).tobytes())
        for expert in range(EXPERTS):
            for projection, shape in expert_shapes().items():
                yield from _packed_expert(expert_name(layer, expert, projection), shape)
    for name, shape in shapes.items():
        yield f"{prefix}{name}.weight", _plain(f"{prefix}{name}.weight", shape)


def _packed_expert(name: str, shape: tuple[int, int]) -> Iterator[tuple[str, Stored]]:
    rows, columns = shape
    codes, scales = packed(name, shape)
    nibbles = codes.reshape(rows, columns // 8, 8).astype(np.uint32)
    words = (nibbles << np.arange(0, 32, 4, dtype=np.uint32)).sum(-1, dtype=np.uint32)
    yield f"{name}.weight_packed", ("I32", words.shape, words.tobytes())
    yield f"{name}.weight_scale", ("BF16", scales.shape, scales.tobytes())
    yield f"{name}.weight_shape", ("I32", (2,), np.array(shape, np.int32).tobytes())


def _safetensors(held: Mapping[str, Stored]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape, content) in held.items():
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + len(content)]}
        position += len(content)
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + b"".join(content for _, _, content in held.values())


def _write_tokenizer(folder: Path) -> None:
    tokens = [bytes([byte]) for byte in range(256)] + [merge.encode() for merge in _MERGES]
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    (folder / "tiktoken.model").write_text("".join(lines))
    (folder / "tokenization_kimi.py").write_text(_TOKENIZER)
    (folder / "chat_template.jinja").write_text(_CHAT_TEMPLATE)
    added = {
        str(len(tokens) + index): {
            "content": content,
            "special": True,
            **dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False),
        }
        for index, content in enumerate(_SPECIAL)
    }
    settings = {
        "added_tokens_decoder": added,
        "auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
        "bos_token": "[BOS]",
        "eos_token": "[EOS]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "tokenizer_class": "TikTokenTokenizer",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")
