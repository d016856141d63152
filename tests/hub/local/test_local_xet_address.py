from __future__ import annotations

import os
import shutil
import socket

import pytest

from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.garbage import collect
from pipeline.hub.local.server import LocalHub
from pipeline.hub.local.xet_address import keep_port, path, read_address, renew_name
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import describe

MODEL = Repository("demo/model")
CONTENT = os.urandom(4_000_000)


@pytest.fixture
def send(tmp_path):
    """Upload bytes as a file; answers how many of them the server was sent through Xet, and otherwise."""

    def send(server, content):
        source = tmp_path / "model.safetensors"
        source.write_bytes(content)
        hub = HuggingFace(server.endpoint, "token")
        hub.create(MODEL)
        server.requests.clear()
        hub.preupload(MODEL, Upload(source, describe(source, source.name)), lambda _: None)
        received = [(request.method, request.received) for request in server.requests if request.status == 200]
        return tuple(sum(size for method, size in received if method == how) for how in ("POST", "PUT"))

    return send


def test_what_a_client_remembers_of_a_hub_is_true_when_it_runs_again(send, tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        assert send(server, CONTENT)[0] > len(CONTENT)
    shutil.rmtree(tmp_path / "hub/xet/chunks")  # the Hub itself offers none of it
    with LocalHub(tmp_path / "hub") as server:
        sent, otherwise = send(server, os.urandom(100_000) + CONTENT)
        assert 100_000 < sent < len(CONTENT) / 2
        assert otherwise == 0
        assert server.store.large_size(describe(tmp_path / "model.safetensors", "x").sha256) == len(CONTENT) + 100_000


def test_what_was_dropped_is_sent_again_the_same_way(send, tmp_path):
    """The client goes by its notes and not by what is there, and the notes are of another address."""
    with LocalHub(tmp_path / "hub") as server:
        send(server, CONTENT)
        collect(server.store)
        sent, otherwise = send(server, CONTENT)
        assert sent > len(CONTENT)
        assert otherwise == 0


def test_a_port_that_was_taken_meanwhile_is_no_reason_not_to_serve(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        keep_port(tmp_path / "xet", other.getsockname()[1])
        with LocalHub(tmp_path):
            assert read_address(tmp_path / "xet").port not in {0, other.getsockname()[1]}


def test_a_copy_of_the_folder_has_another_address(tmp_path):
    """What is uploaded to the one is not in the other."""
    keep_port(tmp_path / "xet", 1234)
    shutil.copytree(tmp_path / "xet", tmp_path / "copy", copy_function=os.link)
    assert path(tmp_path / "xet") == path(tmp_path / "xet") != path(tmp_path / "copy")
    before = path(tmp_path / "xet")
    renew_name(tmp_path / "xet")
    assert path(tmp_path / "xet") != before
    assert read_address(tmp_path / "xet").port == 1234


def test_looking_writes_nothing(tmp_path):
    assert path(tmp_path / "none")
    with LocalHub(tmp_path / "none", readonly=True):
        pass
    assert not (tmp_path / "none").exists()
