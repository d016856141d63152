"""The configurations in mlx-lm's own model tests, collected by running these with the checks left out."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import re
import subprocess
import sys
import tarfile
import unittest
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

# What stacked projections of experts are called one by one, in the order in which they are tried.
_PROJECTIONS = (
    {"gate_proj": "gate_proj", "up_proj": "up_proj", "down_proj": "down_proj"},
    {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"},
)
_STACK = re.compile(r"(.*)\.(mlp|feed_forward|block_sparse_moe)(\.switch_mlp|\.experts)\.(\w+)\.weight")
_BLOCKS = (r"\2", "block_sparse_moe")

_LAYER_KEYS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
_FEW_LAYERS = 4
_FEW_WORDS = 512
_FEW_WEIGHTS = 1_500_000
_SMALLEST = 128
_GROUP = 32
# Halving leaves sizes that nothing can be computed with, or counts of layers that the code takes for granted.
_RUNNABLE = {
    "afm7": {"num_layers": 16, "hidden_dim": 128},
    "falcon_h1": {
        "hidden_size": 256,
        "mamba_d_ssm": 1536,
        "mamba_d_head": 64,
        "mamba_d_state": 128,
        "num_hidden_layers": 2,
    },
    "gemma3_text": {"num_hidden_layers": 12},
    "gpt_neox": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "gptj": {"n_head": 2, "rotary_dim": 32},
    "minimax": {"hidden_size": 128},
    "phi3": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "phi3small": {"vocab_size": 100352},
    "qwen": {"num_attention_heads": 1},
}
_SMALLER = {"cohere2": {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32}}


def fetch(cache: Path) -> Path:
    """mlx-lm's test_models.py, from the source distribution of the installed version."""
    release = f"mlx_lm-{version('mlx-lm')}"
    target = cache / release / "tests" / "test_models.py"
    if not target.exists():
        archive = cache / f"{release}.tar.gz"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "mlx-lm"]
        subprocess.run([*pip, "--dest", str(cache), f"mlx-lm=={version('mlx-lm')}"], check=True)
        with tarfile.open(archive) as files:
            files.extract(f"{release}/tests/test_models.py", cache, filter="data")
    return target


def collect(path: Path) -> dict[str, dict[str, Any]]:
    """The config.json of every model that the tests build and run, by architecture; a second one is called NAME#2."""
    built: list[tuple[nn.Module, Any]] = []
    configs: dict[str, dict[str, Any]] = {}

    def remember(cls: type, *arguments: Any, **_options: Any) -> nn.Module:
        model = dict.__new__(cls)
        if cls.__name__ == "Model" and arguments:
            built.append((model, arguments[0]))
        return model

    class Collecting(_load(path).TestModels):
        def model_test_runner(self, model: nn.Module, *_expected: object) -> None:
            name = type(model).__module__.rpartition(".")[2]
            arguments = next(arguments for other, arguments in built if other is model)
            count = sum(other.partition("#")[0] == name for other in configs)
            key = f"{name}#{count + 1}" if count else name
            known = {**dataclasses.asdict(arguments), "model_type": name}
            if known.get("quantization") is None:  # mlx-lm asks only whether there is such a key
                known.pop("quantization", None)
            configs[key] = json.loads(json.dumps(known))

    new = nn.Module.__new__
    nn.Module.__new__ = remember
    try:
        for name in unittest.defaultTestLoader.getTestCaseNames(Collecting):
            if "model_test_runner" in getattr(Collecting, name).__code__.co_names:
                outcome = unittest.TestResult()
                Collecting(name).run(outcome)
                assert outcome.wasSuccessful(), outcome.errors + outcome.failures
    finally:
        nn.Module.__new__ = new
    return configs


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("upstream_test_models", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shrunk(config: dict[str, Any]) -> dict[str, Any]:
    """The same architecture with sizes halved until it has a million weights or cannot be built any smaller.

    Some of the tests take the sizes of real models, since they never evaluate a weight.
    """
    smaller = {**_with_few_words(config), **_SMALLER.get(config["model_type"], {})}
    if not any(isinstance(value, list) and len(value) > _FEW_LAYERS for value in config.values()):
        smaller |= {key: min(config[key], _FEW_LAYERS) for key in _LAYER_KEYS if config.get(key)}
    while True:
        try:
            count = sum(array.size for _, array in tree_flatten(_build(smaller).parameters()))
        except (AssertionError, ValueError, TypeError, KeyError, IndexError, ZeroDivisionError):
            return config
        config, smaller = smaller, _halved(smaller)
        if count < _FEW_WEIGHTS or smaller == config:
            return config


def runnable(config: dict[str, Any]) -> dict[str, Any]:
    """As `shrunk`, but so that the model can be computed with."""
    small = shrunk(config)
    return {**small, **_RUNNABLE.get(config["model_type"], {})}


def _with_few_words(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: min(value, _FEW_WORDS)
        if key == "vocab_size"
        else _with_few_words(value)
        if isinstance(value, dict)
        else value
        for key, value in config.items()
    }


def _halved(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _halved(item) for key, item in value.items()}
    if isinstance(value, int) and value >= _SMALLEST and value % (2 * _GROUP) == 0:
        return value // 2
    return value


def _build(config: dict[str, Any]) -> nn.Module:
    model_class, arguments = _get_classes(config)
    return model_class(arguments.from_dict(json.loads(json.dumps(config))))


def write(folder: Path, config: dict[str, Any], *, stacked: bool) -> bool:
    """Write a model of random weights; False where its experts cannot be given one by one.

    stacked: as mlx-lm saves it; else every expert in a tensor of its own, as most models are published.
    """
    model = _build(config)
    weights = {
        name: _random(position, name, array) for position, (name, array) in enumerate(tree_flatten(model.parameters()))
    }
    if not stacked:
        apart = next(_apart(model, weights), None)
        if apart is None:
            return False
        weights = apart
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": "bfloat16"}))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    return True


def _random(position: int, name: str, array: mx.array) -> mx.array:
    key = mx.random.key(position)
    if name.endswith(".signs"):
        return mx.where(mx.random.bernoulli(0.5, array.shape, key=key), 1, -1).astype(array.dtype)
    if mx.issubdtype(array.dtype, mx.floating):
        return mx.random.normal(array.shape, key=key).astype(mx.bfloat16)
    return mx.random.randint(0, 3, array.shape, key=key).astype(array.dtype)


def _apart(model: nn.Module, weights: dict[str, mx.array]) -> Iterator[dict[str, mx.array]]:
    """Ways to give the experts one by one that the architecture's own `sanitize` stacks again."""
    kinds = {name: (array.shape, array.dtype) for name, array in weights.items()}
    for names, block in itertools.product(_PROJECTIONS, _BLOCKS):
        apart: dict[str, mx.array] = {}
        for name, array in weights.items():
            found = _STACK.fullmatch(name)
            if found and found[4] in names:
                prefix = f"{found[1]}.{found.expand(block)}.experts"
                apart |= {f"{prefix}.{e}.{names[found[4]]}.weight": mx.contiguous(one) for e, one in enumerate(array)}
            else:
                apart[name] = array
        if len(apart) > len(weights):
            try:
                again = model.sanitize(dict(apart))
            except (KeyError, ValueError, AttributeError):
                continue
            if {name: (array.shape, array.dtype) for name, array in again.items()} == kinds:
                yield apart
