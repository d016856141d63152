"""Uploads through Xet by the pipeline, against the embedded Hub and against a server that misbehaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from pipeline.errors import HubError, HubRefused, Interrupted
from pipeline.hub import xet
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.retry import Patient
from pipeline.manifest import describe

MODEL = Repository("demo/model")


@pytest.fixture
def server(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def hub(server):
    hub = HuggingFace(server.endpoint, "token")
    hub.create(MODEL)
    return hub


def shard(tmp_path, size=3_000_000):
    path = tmp_path / "model.safetensors"
    path.write_bytes(os.urandom(size))
    return Upload(path, describe(path, path.name))


def paths(server):
    return [request.path for request in server.requests]


def test_every_byte_is_told_of_once(hub, server, tmp_path):
    told = []
    upload = shard(tmp_path)
    hub.preupload(MODEL, upload, told.append)
    assert sum(told) == upload.file.size
    assert min(told) >= 0
    assert any("/v1/xorbs/" in path for path in paths(server))
    assert not any(request.method == "PUT" for request in server.requests)


def test_what_the_hub_holds_is_not_even_read(hub, server, tmp_path):
    upload = shard(tmp_path, 11_000_000)
    hub.preupload(MODEL, upload, lambda _: None)
    upload.source.write_bytes(bytes(upload.file.size))
    server.requests.clear()
    told = []
    hub.preupload(MODEL, upload, told.append)
    commit = hub.commit(MODEL, [upload], [], parent=hub.head(MODEL), message="x")
    assert sum(told) == upload.file.size
    assert hub.manifest(MODEL, commit)["model.safetensors"].sha256 == upload.file.sha256
    assert not any("xet" in path for path in paths(server))


def test_an_end_that_is_asked_for_is_an_end(hub, server, tmp_path):
    def stop(amount):
        if amount:
            raise Interrupted("stopped")

    upload = shard(tmp_path)
    with pytest.raises(Interrupted):
        hub.preupload(MODEL, upload, stop)
    hub.preupload(MODEL, upload, lambda _: None)
    assert server.store.large_size(upload.file.sha256) == upload.file.size


@pytest.mark.parametrize("path", ["*/xorbs/*", "*/shards"])
def test_an_upload_that_was_given_up_has_ended_before_it_is_sent_again(hub, server, tmp_path, path):
    """The library has threads of its own, which would go on sending beside the second attempt."""
    upload, given_up = shard(tmp_path), []
    server.faults.add(Fault("stall", path, "POST", seconds=3600, nth=(1, 2) if "xorbs" in path else (1,)))

    def told(line):
        going_on = [
            thread.name for thread in threading.enumerate() if thread.name.startswith(("hub-call", "ThreadPool"))
        ]
        given_up.append((line, going_on))

    Patient(hub, call_seconds=1.5, told=told).preupload(MODEL, upload, lambda _: None)
    assert given_up
    for line, going_on in given_up:
        assert "cannot upload model.safetensors to demo/model: there was no answer within 2 s" in line
        assert going_on == []
    assert server.store.large_size(upload.file.sha256) == upload.file.size


def test_a_process_that_is_stopped_while_the_hub_says_nothing_ends(hub, server, tmp_path):
    server.faults.add(Fault("stall", "*/xorbs/*", "POST", seconds=3600))
    upload = shard(tmp_path)
    program = f"""
        import time
        from pathlib import Path
        from pipeline.errors import Interrupted
        from pipeline.hub.huggingface import HuggingFace
        from pipeline.hub.protocol import Repository, Upload
        from pipeline.hub.retry import Patient
        from pipeline.manifest import File
        started = time.monotonic()
        def stop(_):
            if time.monotonic() > started + 2:
                raise Interrupted("stopped")
        hub = Patient(HuggingFace({server.endpoint!r}, "token"))
        try:
            hub.preupload(Repository("demo/model"), Upload(Path({str(upload.source)!r}), {upload.file!r}), stop)
        except Interrupted:
            print("stopped")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=15, check=False
    )
    assert ended.stdout == "stopped\n", ended.stderr


def token_for(endpoint):
    body = {"casUrl": endpoint, "accessToken": "x", "exp": int(time.time()) + 3600}
    return (200, {"Content-Type": "application/json"}, json.dumps(body).encode())


@pytest.mark.parametrize(("status", "kind"), [(401, HubRefused), (403, HubRefused), (413, HubRefused), (400, HubError)])
def test_a_refusal_on_the_way_is_told_from_what_may_pass(scripted, tmp_path, status, kind):
    not_held = (200, {}, b'{"objects": []}')
    scripted.answers = [not_held, token_for(scripted.endpoint), (status, {}, b"{}")]
    with pytest.raises(HubError, match=r"cannot upload model.safetensors") as caught:
        HuggingFace(scripted.endpoint, "hf_secret").preupload(MODEL, shard(tmp_path), lambda _: None)
    assert type(caught.value) is kind
    assert "hf_secret" not in str(caught.value) + caught.value.hint


def test_a_refusal_of_the_question_what_is_held_is_a_refusal(scripted, tmp_path):
    scripted.answers = [(401, {}, b"{}")]
    upload = shard(tmp_path, 11_000_000)
    with pytest.raises(HubRefused, match="cannot commit"):
        HuggingFace(scripted.endpoint, "token").commit(MODEL, [upload], [], parent="0" * 40, message="x")


def test_a_shard_that_fails_three_times_goes_another_way(hub, server, tmp_path, monkeypatch):
    def broken(*_):
        raise ConnectionError("Server error: HTTP status server error (500 Internal Server Error)")

    monkeypatch.setattr(xet, "upload", broken)
    heard, told = [], []
    upload = shard(tmp_path)
    Patient(hub, longest_wait=0, told=heard.append).preupload(MODEL, upload, told.append)
    assert len(heard) == 3
    assert sum(told) == upload.file.size
    assert [request.received for request in server.requests if request.method == "PUT"] == [upload.file.size]
    assert server.store.blobs.size(upload.file.sha256) == upload.file.size


def test_settings_are_ones_that_the_library_knows(tmp_path):
    """It ignores what it does not know, and names change between its versions."""
    program = "import hf_xet, json; print(json.dumps({k: str(v) for k, v in hf_xet.XetConfig().items()}))"
    read = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **xet.SETTINGS}, check=True, capture_output=True
    )
    values = json.loads(read.stdout)
    for name, value in xet.SETTINGS.items():
        group, _, key = name.removeprefix("HF_XET_").lower().partition("_")
        assert values[f"{group}.{key}"] == value
