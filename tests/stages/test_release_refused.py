"""Bases that are spoilt in one place: their release is refused for that very reason, and nothing is published."""

from __future__ import annotations

import json
import shutil

import pytest

from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository

BASE = Repository("demo/spoilt")
TARGET = Repository("demo/SmolLM2-135M-Instruct-MLX-mixed")
LLAMA3 = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}{{ m['content'] }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
END = {"eos_token_id": 0}


@pytest.fixture
def release(repository, seeded_hub, smollm2_base, tmp_path):
    """The demo's release of a base with other values in its JSON files."""

    def make(**changed):
        folder = tmp_path / "spoilt"
        shutil.copytree(smollm2_base, folder)
        for name, values in changed.items():
            path = folder / f"{name}.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        repository.start_from(seeded_hub)
        files = {path.name: path for path in folder.iterdir()}
        commit = Store(repository.hub).import_folder(BASE, files, "spoilt", "2026-01-01T00:00:00Z")
        repository.edit("demo", "repo: demo/SmolLM2-135M-Instruct\n", f"repo: {BASE}\n")
        repository.edit("demo", "033cba4c4d4d4ecd6709d76d1f8aa93d013a4afc", commit)
        repository.edit("demo", "windows: 16", "windows: 2")
        repository.edit("demo", "max_tokens: 120", "max_tokens: 24\n  serve: false")
        (repository.root / "releases/demo/base.json").unlink()
        return repository

    return make


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"tokenizer_config": {"chat_template": LLAMA3}}, "the chat template is another model's"),
        (
            {"tokenizer_config": {"eos_token": "<|endoftext|>"}, "config": END, "generation_config": END},
            "the stop token is missing: the chat template ends an answer with '<|im_end|>'",
        ),
    ],
    ids=["the chat template of another model", "no stop token"],
)
def test_it_is_refused_for_the_right_reason(release, spoilt, reason):
    repository = release(**spoilt)
    code, said = repository.run("release", "demo")
    assert code == 3, said
    assert reason in " ".join(said.split())
    assert "pass perplexity increase" in " ".join(said.split())
    assert not Store(repository.hub).has(TARGET, "v1")
