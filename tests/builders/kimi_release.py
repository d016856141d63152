"""A release repository with a tiny Kimi to release: base and text at its embedded Hub, recipe and release file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository

if TYPE_CHECKING:
    from pathlib import Path

BASE = Repository("demo/tiny-kimi")
TEXT = Repository("demo/tiny-text", "dataset")
TARGET = Repository("demo/tiny-kimi-MLX")
RECIPE = r"""
version: 1
summary: The 2.5-bit recipe of Kimi K2.5, for four narrow layers.
rules:
  - {match: 'lm_head$', bits: 8, why: as in the large recipe}
  - {match: 'embed_tokens$', bits: 4, why: as in the large recipe}
  - {match: 'self_attn\.', bits: 8, why: as in the large recipe}
  - {match: 'shared_experts\.', bits: 8, why: as in the large recipe}
  - {match: 'layers\.0\.mlp\.', bits: 8, why: as in the large recipe}
  - {match: 'switch_mlp\.down_proj$', layers: '1,3', bits: 3, why: as in the large recipe}
  - {match: 'switch_mlp\.', bits: 2, why: as in the large recipe}
otherwise: error
"""
RELEASE = """
title: Tiny Kimi
summary: Random weights in the shape of Kimi K2.5.
license: {{name: modified-mit}}
hub: local
base: {{repo: demo/tiny-kimi, revision: {revision}, trust_remote_code: true}}
recipe: {name}
target: {{repo: demo/tiny-kimi-MLX, tag: {tag}, shard_size: {shard_size}}}
evaluate:
  text:
    repo: demo/tiny-text
    revision: {text}
    file: evaluation.txt
    license: cc0-1.0
    attribution: nobody
  window: 32
  windows: 2
  prompts: [Hello]
  max_tokens: 8
  serve: {serve}
thresholds: {{perplexity_increase: 100 %, generation: false, serving: false}}
"""


def add(
    root: Path,
    hub: Path,
    base: Path,
    name: str = "tiny-kimi",
    *,
    recipe: str = RECIPE,
    tag: str = "v1",
    shard_size: str = "200 kB",
    serve: bool = True,
) -> None:
    """One more release in the repository at `root`; base: the folder with the files of the tiny Kimi.

    serve: let a server run it as well, which takes seconds, at every run, since its random words are no answer.
    """
    text = root / "evaluation.txt"
    text.write_text("The quick brown fox jumps over the lazy dog, again and again. " * 10)
    files = {str(path.relative_to(base)): path for path in base.rglob("*") if path.is_file()}
    store = Store(hub)
    commits = [
        store.import_folder(source, held, "tiny", "2026-01-01T00:00:00Z")
        for source, held in ((BASE, files), (TEXT, {text.name: text}))
    ]
    releases = root / "releases"
    (releases / "recipes" / f"{name}.yaml").write_text(recipe)
    (releases / name).mkdir()
    asked = RELEASE.format(
        name=name, revision=commits[0], text=commits[1], tag=tag, shard_size=shard_size, serve=str(serve).lower()
    )
    (releases / name / "release.yaml").write_text(asked)
