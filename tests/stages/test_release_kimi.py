"""A base like Kimi K2.5, tiny but with everything that makes it hard, released whole: packed INT4 experts, a nested
config, vision tensors to drop, MLA, and a tokenizer that is remote code over a tiktoken vocabulary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import kimi_release
import pytest
from kimi_release import TARGET

from pipeline.hub.local.server import LocalHub
from pipeline.hub.local.store import Store


@pytest.fixture
def kimi(repository, tiny_kimi_base):
    kimi_release.add(repository.root, repository.hub, tiny_kimi_base)
    return repository


def test_it_is_published_and_stock_mlx_lm_loads_it_and_generates(kimi, tmp_path):
    code, said = kimi.run("release", "tiny-kimi")
    assert code == 0, said
    evidence = json.loads((kimi.root / "releases/tiny-kimi/evidence.json").read_text())["measurements"]
    [distance] = [row for row in evidence if row["measure"] == "divergence"]
    assert distance["settings"]["baseline"]["repo"] == "demo/tiny-kimi"
    assert 0 < distance["values"]["kl_mean"] < distance["values"]["kl_max"]
    assert 0 < distance["values"]["top1"] < 1
    assert "## How close it stays to the base" in (kimi.root / "releases/tiny-kimi/README.md").read_text()
    folder = kimi.workspace / "releases/tiny-kimi/model"
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config["text_config"], "what was true of the base is not true of the result"
    experts = {path: entry["bits"] for path, entry in config["quantization"].items() if "switch_mlp" in path}
    assert set(experts.values()) == {2, 3}
    assert len(experts) == 9
    published = Store(kimi.hub).tree(TARGET, Store(kimi.hub).resolve(TARGET, "v1"))
    assert {"tiktoken.model", "chat_template.jinja", "LICENSE", "THIRD_PARTY_NOTICES.md"} <= set(published)
    assert any(path.endswith(".py") for path in published)
    assert not any(
        "vision" in name for name in json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    )

    program = textwrap.dedent(
        """
        from mlx_lm import generate, load
        model, tokenizer = load("demo/tiny-kimi-MLX", tokenizer_config={"trust_remote_code": True})
        print(repr(generate(model, tokenizer, prompt="Hello", max_tokens=4)))
        """
    )
    with LocalHub(kimi.hub, readonly=True) as hub:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
        asked = subprocess.run(
            [sys.executable, "-c", program], env=clean | environment, capture_output=True, text=True, check=False
        )
    assert asked.returncode == 0, asked.stderr


def test_token_ids_and_the_chat_template_are_those_of_the_base(kimi, tiny_kimi_base):
    from mlx_lm.utils import load_tokenizer

    code, said = kimi.run("release", "tiny-kimi", "--until", "quantize")
    assert code == 0, said
    text = "The quick brown fox, 1234 — naïve café.\n\n" * 20
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    before, after = (
        load_tokenizer(folder, {"trust_remote_code": True})
        for folder in (tiny_kimi_base, kimi.workspace / "releases/tiny-kimi/model")
    )
    assert before.encode(text) == after.encode(text)
    assert before.apply_chat_template(chat, tokenize=False) == after.apply_chat_template(chat, tokenize=False)


def test_without_trust_it_is_refused_with_the_reason(kimi):
    release = kimi.root / "releases/tiny-kimi/release.yaml"
    release.write_text(release.read_text().replace("trust_remote_code: true", "trust_remote_code: false"))
    code, said = kimi.run("release", "tiny-kimi")
    assert code == 2, said
    assert "code of its own" in said
    assert "trust_remote_code: true" in said
    assert not Store(kimi.hub).has(TARGET, "v1")
