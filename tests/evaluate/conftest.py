from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "vocab_size": 300,
        "tie_word_embeddings": False,
        "attention_bias": True,
    },
    "mixtral": {
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "tie_word_embeddings": True,
    },
}
TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder with a small model of random bfloat16 weights, quantized if asked, and a tokenizer of bytes."""

    def make(architecture: str = "llama", **quantization: Any) -> Path:
        import mlx.core as mx
        from mlx_lm.utils import load_model, quantize_model, save_model

        folder = tmp_path_factory.mktemp("model")
        (folder / "config.json").write_text(json.dumps(CONFIGS[architecture]))
        tokenizer(folder)
        mx.random.seed(7)
        model, read = load_model(folder, strict=False)
        model.set_dtype(mx.bfloat16)
        if quantization:
            model, read = quantize_model(model, read, **quantization)
            (folder / "config.json").write_text(json.dumps(read))
        save_model(folder, model)
        return folder

    return make


def tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    built = Tokenizer(models.BPE({letter: i for i, letter in enumerate([*letters, "<end>"])}, []))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens(["<end>"])
    built.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """The same model in a folder that a test may spoil."""

    def make(folder: Path) -> Path:
        return shutil.copytree(folder, tmp_path / "copy")

    return make


@pytest.fixture(scope="session")
def smollm2_quantized(smollm2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The trained model with every layer in so many bits."""
    made: dict[int, Path] = {}

    def make(bits: int) -> Path:
        from mlx_lm.utils import load, quantize_model, save

        if bits not in made:
            model, tokenizer, config = load(str(smollm2_base), lazy=True, return_config=True)
            model, config = quantize_model(model, config, group_size=64, bits=bits)
            made[bits] = tmp_path_factory.mktemp(f"smollm2-{bits}bit") / "model"
            save(made[bits], smollm2_base, model, tokenizer, config)
        return made[bits]

    return make
