"""Consoles of a fixed shape, a release of the usual shape, and golden text."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.engine.plan import Decision, Plan
from pipeline.engine.task import Lane, Task

GOLDEN = Path(__file__).parents[1] / "golden" / "console"

DOWNLOAD = Lane("download", "fetch what the base consists of, every byte checked by its digest", 2)
QUANTIZE = Lane("quantize", "write each shard from slabs of the base")
VALIDATE = Lane("validate", "measure the result and the base on the same text", unit="tokens")
RENDER = Lane("render", "write the card from the evidence", unit="")
UPLOAD = Lane("upload", "send blobs as they appear, then make them visible by one commit", 2)


class Screen(io.StringIO):
    """A terminal as far as `isatty` tells."""

    encoding = "utf-8"

    def isatty(self):
        return True


def _page(width=80):
    """A console of a fixed width that wraps as a terminal does, without colours."""
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, _environ={})


def _pipe():
    return Console(file=io.StringIO(), force_terminal=False, _environ={})


def _terminal(width=80):
    return Console(file=Screen(), width=width, height=40, color_system=None, _environ={"TERM": "xterm"})


def _check_golden(name, text):
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name}: run again with UPDATE_GOLDEN=1 if this is meant"


def _release(shards=7, bits=3, run=lambda _step: {}):
    """A release of the usual shape, in the order in which its stages would name the tasks."""
    side = ["config.json", "generation_config.json", "merges.txt", "tokenizer.json", "vocab.json"]
    names = [f"model-{n:05}-of-{shards:05}.safetensors" for n in range(1, shards + 1)]
    downloads = [Task(f"download/{f}", DOWNLOAD, run, outputs=(f"base/{f}",), work=1234) for f in side]
    downloads += [Task(f"download/{n}", DOWNLOAD, run, outputs=(f"base/{n}",), work=135_000_000) for n in names]
    settings = {"recipe": {"down_proj": {"bits": bits}}}
    quantized = [
        Task(f"quantize/{n}", QUANTIZE, run, (f"download/{n}",), settings, (f"model/{n}",), work=41_000_000)
        for n in names
    ]
    measured = [
        Task(f"validate/{what}", VALIDATE, run, tuple(t.name for t in quantized), work=work)
        for what, work in (("perplexity", 8192), ("generation", 400))
    ]
    card = Task("render/card", RENDER, run, tuple(t.name for t in measured), outputs=("README.md",))
    uploads = [Task(f"upload/{n}", UPLOAD, run, (f"quantize/{n}",), work=41_000_000) for n in names]
    commit = Task("upload/commit", UPLOAD, run, (card.name, *(t.name for t in uploads)))
    return [*downloads, *quantized, *measured, card, *uploads, commit]


def _only(lane, *work, run=lambda _step: {}):
    """A plan of one lane in which everything runs."""
    return Plan(
        tuple(Decision(Task(f"{lane.name}/{n}", lane, run, work=w), "has not run") for n, w in enumerate(work, 1))
    )


@pytest.fixture(scope="session")
def page():
    return _page


@pytest.fixture(scope="session")
def pipe():
    return _pipe


@pytest.fixture(scope="session")
def terminal():
    return _terminal


@pytest.fixture(scope="session")
def release():
    return _release


@pytest.fixture(scope="session")
def only():
    return _only


@pytest.fixture(scope="session")
def check_golden():
    return _check_golden
