from __future__ import annotations

import json

import pytest

from pipeline.errors import PipelineError
from pipeline.manifest import File, Manifest
from pipeline.weights.config import released
from pipeline.weights.side_files import side_files

COME = {
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tiktoken.model", "qwen.tiktoken", "vocab.json",
    "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "generation_config.json",
    "tokenization_kimi.py", "configuration_deepseek.py", "preprocessor_config.json", "LICENSE", "LICENSE.md",
    "license.pdf", "NOTICE", "THIRD_PARTY_NOTICES.md", "COPYING", "USE_POLICY.md",
}  # fmt: skip
STAY = {
    "model.safetensors", "model-00001-of-00002.safetensors", "consolidated.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model.bin.index.json", "config.json", "hf_quant_config.json", "README.md",
    "readme.txt", ".gitattributes", "figures/logo.png", "logo.svg",
    "onnx/model.onnx", "onnx/tokenizer.json", "original/params.json",
    "assets/LICENSE.txt", "docs/deploy.md", "model.gguf",
}  # fmt: skip


def test_what_a_tokenizer_or_a_licence_needs_comes_along_and_nothing_else():
    files = Manifest(tuple(File(path, 1) for path in COME | STAY))
    assert {file.path for file in side_files(files)} == COME


def test_a_hostile_name_never_gets_that_far():
    with pytest.raises(PipelineError, match="not a plain relative path"):
        side_files(Manifest((File("../LICENSE", 1),)))


def test_the_stale_quantization_of_a_source_is_gone_everywhere():
    stale = {"quant_method": "compressed-tensors"}
    config = {
        "model_type": "kimi_k25",
        "quantization_config": stale,
        "quantization": stale,
        "text_config": {"dtype": "bfloat16", "quantization_config": stale},
        "vision_config": {},
        "limit": float("inf"),
    }
    text = released(config, {"bits": 2}, keep_vision=False)
    assert "compressed" not in text
    assert json.loads(text) == {
        "model_type": "kimi_k25",
        "quantization": {"bits": 2},
        "quantization_config": {"bits": 2},
        "text_config": {"dtype": "bfloat16"},
        "limit": {"__float__": "Infinity"},
    }
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert config["text_config"]["quantization_config"] is stale
    assert "vision_config" in released(config, {}, keep_vision=True)
