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
import sending

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


NOT_HELD = (200, {}, b'{"objects": []}')


@pytest.mark.parametrize(("status", "kind"), [(401, HubError), (403, HubRefused), (413, HubRefused), (400, HubError)])
def test_a_refusal_on_the_way_is_told_from_what_may_pass(scripted, tmp_path, status, kind):
    scripted.answers = [NOT_HELD, token_for(scripted.endpoint), (status, {}, b"{}")]
    with pytest.raises(HubError, match=r"cannot upload model.safetensors") as caught:
        HuggingFace(scripted.endpoint, "hf_secret").preupload(MODEL, shard(tmp_path), lambda _: None)
    assert type(caught.value) is kind
    assert "hf_secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(("status", "hint"), [(401, "Sign in"), (403, "may write"), (403, "storage")])
def test_a_token_of_ours_that_gets_none_for_xet_is_refused(scripted, tmp_path, status, hint):
    scripted.answers = [NOT_HELD, (status, {}, b"{}")]
    with pytest.raises(HubRefused, match=f"cannot upload model.safetensors .* the Hub answered {status}") as caught:
        HuggingFace(scripted.endpoint, "token").preupload(MODEL, shard(tmp_path), lambda _: None)
    assert hint in caught.value.hint


def test_a_token_for_xet_that_expires_on_the_way_is_asked_for_anew(hub, server, tmp_path):
    server.faults.add(Fault("status", "*/xorbs/*", status=401, nth=(1,)))
    heard = []
    upload = shard(tmp_path)
    Patient(hub, longest_wait=0, told=heard.append).preupload(MODEL, upload, lambda _: None)
    assert len(heard) == 1
    assert "the token for Xet has expired; asking again" in heard[0]
    assert sum("/xet-write-token/" in path for path in paths(server)) == 2
    assert server.store.large_size(upload.file.sha256) == upload.file.size


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


def test_a_commit_gets_through_although_xet_is_out_of_order(hub, server, tmp_path):
    """With small files among its large ones, that nobody sends ahead of it."""
    server.faults.add(Fault("status", "*/xorbs/*"))
    uploads = []
    for name in ("assets/plot.png", "tiktoken.model", "config.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(10_000))
        uploads.append(Upload(path, describe(path, name)))
    heard = []
    patient = Patient(hub, longest_wait=0, told=heard.append)
    patient.commit(MODEL, uploads, [], parent=hub.head(MODEL), message="x")
    assert len(heard) == 3
    assert sending.sent(server.requests)[-2:] == [10_000, 10_000]
    there = hub.manifest(MODEL, "main")
    assert all(upload.file.same_content(there[upload.file.path]) for upload in uploads)


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


PROGRAM = """
import sys
from pathlib import Path
from pipeline.hub.connect import connect
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import describe

shard = Path(sys.argv[2])
with connect("local", Path(sys.argv[1]), writable=True) as hub:
    hub.preupload(Repository("demo/model"), Upload(shard, describe(shard, shard.name)), lambda _: None)
"""


@pytest.mark.usefixtures("hub")
def test_after_a_kill_in_the_middle_of_a_shard_only_xorbs_that_had_not_arrived_are_sent(server, tmp_path, monkeypatch):
    noted = tmp_path / "xet"
    monkeypatch.setenv("HF_XET_CACHE", str(noted))
    upload = shard(tmp_path, 140_000_000)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "hub"), str(upload.source)]
    server.faults.add(Fault("slow", "*/xorbs/*", rate=1, nth=(2,)))  # never ends, for whoever kills it
    with subprocess.Popen(command) as process:
        ends = time.monotonic() + 60
        # Every xorb that has arrived leaves a note.
        while len(list(noted.rglob("*.mdb"))) < 2 and time.monotonic() < ends:
            time.sleep(0.05)
        process.kill()
    assert len(list(noted.rglob("*.mdb"))) == 2
    xorbs = [request for request in server.requests if "/v1/xorbs/" in request.path]
    arrived = sum(xorb.received for xorb in xorbs if xorb.status == 200)
    assert server.store.large_size(upload.file.sha256) is None

    server.faults.clear()
    server.requests.clear()
    subprocess.run(command, check=True)
    again = upload.file.size - arrived
    assert 50_000_000 < again
    assert again <= sum(sending.sent(server.requests)) <= again + 70_000, "and 8 bytes more for each of its chunks"
    assert server.store.large_size(upload.file.sha256) == upload.file.size
