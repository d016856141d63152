"""The process that sends one file without Xet, against the embedded Hub."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest

from pipeline.errors import HubRefused, Interrupted
from pipeline.hub import lfs_process
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import describe

MODEL = Repository("demo/model")
PROC = Path("/proc")


@pytest.fixture
def server(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        HuggingFace(server.endpoint, "token").create(MODEL)
        yield server


def shard(tmp_path, size=3_000_000):
    path = tmp_path / "model.safetensors"
    path.write_bytes(os.urandom(size))
    return Upload(path, describe(path, path.name))


def test_it_fails_as_plainly_as_any_upload(server, tmp_path):
    with pytest.raises(HubRefused, match="the Hub answered 404") as caught:
        lfs_process.upload(server.endpoint, "token", Repository("demo/nowhere"), shard(tmp_path), lambda _: None)
    assert "name" in caught.value.hint


def test_it_can_be_ended(server, tmp_path):
    def stop(amount):
        if amount:
            raise Interrupted("stopped")

    upload = shard(tmp_path, 60_000_000)  # more than lies in buffers when the first bytes are told of
    with pytest.raises(Interrupted):
        lfs_process.upload(server.endpoint, "token", MODEL, upload, stop)
    assert server.store.large_size(upload.file.sha256) is None


def test_it_can_be_ended_while_the_hub_says_nothing(server, tmp_path):
    """A process that waits would go on sending beside the next attempt as soon as the Hub answers."""
    server.faults.add(Fault("stall", "*/batch", seconds=3600))
    ended = threading.Event()

    def stop(amount):
        if server.faults.fired:
            raise Interrupted("stopped")

    def run():
        with pytest.raises(Interrupted):
            lfs_process.upload(server.endpoint, "token", MODEL, shard(tmp_path), stop)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(15)


def test_the_token_is_on_no_command_line(server, tmp_path, monkeypatch):
    """Neither in what the process was started with, nor in what any process shows of itself while it sends."""
    asked, shown = [], []
    popen = subprocess.Popen

    def watched(command, **options):
        asked.append((command, options["env"]))
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", watched)
    lfs_process.upload(
        server.endpoint, "hf_secret", MODEL, shard(tmp_path), lambda amount: amount and shown.append(command_lines())
    )
    [(command, environment)] = asked
    assert "hf_secret" not in " ".join(command)
    assert environment["HF_TOKEN"] == "hf_secret"
    assert shown, "it was never looked at while it sent"
    for lines in shown if PROC.exists() else ():
        assert any("pipeline.hub.lfs_process" in line for line in lines)
        assert not any("hf_secret" in line for line in lines)


def command_lines():
    """Of every process on this machine, where it tells."""
    lines = []
    for path in PROC.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            lines.append(path.read_bytes().decode(errors="replace"))
    return lines
