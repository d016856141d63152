"""Turns the vocabulary inside SmolLM2's GGUF into the two tokenizer files of a Hugging Face folder."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError
from pipeline.rehearsal.model_folder import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import Json
    from pipeline.weights.gguf import Gguf


class TokenType(IntEnum):
    """The two kinds of llama.cpp's `llama_token_type` that SmolLM2 has."""

    NORMAL = 1
    CONTROL = 3


def write_tokenizer(folder: Path, gguf: Gguf) -> None:
    """`tokenizer.json` and, with the chat template, `tokenizer_config.json`; only SmolLM2's kind is known."""
    metadata = gguf.metadata
    kind = (metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre"))
    types = set(metadata["tokenizer.ggml.token_type"])
    if kind != ("gpt2", "smollm") or not types <= set(TokenType):
        raise BaseModelError(f"the GGUF's tokenizer is {kind} with token types {types}, not SmolLM2's")
    write_json(folder / "tokenizer.json", _tokenizer(gguf))
    write_json(folder / "tokenizer_config.json", _tokenizer_config(gguf))


def special_tokens(gguf: Gguf) -> dict[int, str]:
    """Tokens that are never made from text, by id."""
    kinds = gguf.metadata["tokenizer.ggml.token_type"]
    return {i: token for i, token in enumerate(_tokens(gguf)) if kinds[i] == TokenType.CONTROL}


def _tokens(gguf: Gguf) -> list[str]:
    return list(gguf.metadata["tokenizer.ggml.tokens"])


def _flags(token: str) -> dict[str, Json]:
    return {
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _tokenizer(gguf: Gguf) -> Json:
    # llama.cpp's "smollm": every digit on its own, then GPT-2's split. Merges stay strings, as in the lab's own file.
    digits: dict[str, Json] = {"type": "Digits", "individual_digits": True}
    words: dict[str, Json] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **_flags(token)} for i, token in special_tokens(gguf).items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, words]},
        "post_processor": words | {"add_prefix_space": True, "trim_offsets": False},
        "decoder": words | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(_tokens(gguf))},
            "merges": list(gguf.metadata["tokenizer.ggml.merges"]),
        },
    }


def _tokenizer_config(gguf: Gguf) -> Json:
    metadata, tokens = gguf.metadata, _tokens(gguf)

    def named(role: str) -> str:
        return str(tokens[metadata[f"tokenizer.ggml.{role}_token_id"]])

    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): _flags(token) for i, token in special_tokens(gguf).items()},
        "bos_token": named("bos"),
        "chat_template": str(metadata["tokenizer.chat_template"]),
        "clean_up_tokenization_spaces": False,
        "eos_token": named("eos"),
        "model_max_length": int(metadata["llama.context_length"]),
        "pad_token": named("padding"),
        # Not GPT2Tokenizer: transformers would build GPT-2's own, which does not split digits.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": named("unknown"),
    }
