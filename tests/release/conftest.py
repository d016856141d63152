"""A release repository on disk, and models described by their modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.release.places import Place
from pipeline.release.recipe import Module, Recipe, Rule

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROOT = Path(__file__).parents[2]

RELEASE = f"""\
title: A small model
summary: Made for a test.
license: apache-2.0
base: {{repo: someone/model, revision: {COMMIT}}}
recipe: plain
target: {{repo: someone/model-mlx, tag: v1}}
evaluate:
  text:
    repo: someone/prose
    revision: {COMMIT}
    file: prose.txt
    license: cc-by-sa-4.0
    attribution: Somebody
  prompts: ['What is the capital of France?']
thresholds: {{perplexity_increase: 10 %}}
"""

RECIPE = """\
version: 1
summary: Four bits.
rules:
  - {match: mlp, bits: 4, why: Because.}
otherwise: {bits: 8}
"""


class Repository:
    """`releases/` in a temporary folder, holding one valid release `small` with its recipe `plain`."""

    text = RELEASE
    recipe_text = RECIPE
    commit = COMMIT

    def __init__(self, root):
        self.root = root
        self.release("small", RELEASE)
        self.recipe("plain", RECIPE)

    def _write(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def release(self, name, content):
        self._write(self.root / "releases" / name / "release.yaml", content)

    def recipe(self, name, content):
        self._write(self.root / "releases" / "recipes" / f"{name}.yaml", content)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


@pytest.fixture(scope="session")
def shipped():
    """The root of the repository that the tests are in."""
    return ROOT


@pytest.fixture(scope="session")
def llama():
    """The modules of a small Llama with a tied head, as SmolLM2-135M has them."""
    return _llama


@pytest.fixture(scope="session")
def llama_paths():
    return ["model.embed_tokens", "lm_head", *(module.path for module in _llama()[1:])]


@pytest.fixture(scope="session")
def mixtral_paths():
    inside = [*(f"self_attn.{name}_proj" for name in "qkvo"), "block_sparse_moe.gate"]
    inside += [f"block_sparse_moe.switch_mlp.{name}_proj" for name in ("gate", "up", "down")]
    return [
        "model.embed_tokens",
        "lm_head",
        *(f"model.layers.{layer}.{name}" for layer in range(32) for name in inside),
    ]


@pytest.fixture(scope="session")
def kimi_paths():
    attention = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "embed_q", "unembed_out", "o_proj")
    paths = ["language_model.model.embed_tokens", "language_model.lm_head"]
    for layer in range(61):
        inside = [f"self_attn.{name}" for name in attention]
        for mlp in ("mlp.shared_experts", "mlp.switch_mlp") if layer else ("mlp",):
            inside += [f"{mlp}.{name}_proj" for name in ("gate", "up", "down")]
        paths += [f"language_model.model.layers.{layer}.{name}" for name in inside]
    return paths


@pytest.fixture(scope="session")
def make_recipe():
    return _make_recipe


def _llama(layers=30, hidden=576, intermediate=1536):
    kv = hidden // 3
    inside = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (intermediate, hidden),
        "mlp.up_proj": (intermediate, hidden),
        "mlp.down_proj": (hidden, intermediate),
    }
    every = [Module(f"model.layers.{layer}.{name}", shape) for layer in range(layers) for name, shape in inside.items()]
    return [Module("model.embed_tokens", (49152, hidden)), *every]


def _make_recipe(*rules, otherwise=None):
    """Rules as (match, decision) or (match, layers, decision), on lines 1, 2, 3...; `otherwise` is on line 99."""
    made = tuple(
        Rule(match, layers[0] if layers else None, decision, "Because.", Place("r.yaml", line, 1, f"rules[{line - 1}]"))
        for line, (match, *layers, decision) in enumerate(rules, 1)
    )
    return Recipe("r", 1, "A test.", made, otherwise, "", Place("r.yaml", 99, 1, "otherwise"))
