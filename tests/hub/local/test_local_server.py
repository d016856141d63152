from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from pipeline.errors import UsageError, WorkspaceError
from pipeline.hub.local.server import LocalHub, find_running
from pipeline.hub.protocol import Repository

CONTENT = random.Random(8).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SERVE = """
import sys
from pathlib import Path
from pipeline.hub.local.server import serve
serve(Path(sys.argv[1]), lambda endpoint: print(endpoint, flush=True))
print("stopped", flush=True)
"""


@pytest.fixture
def elsewhere(tmp_path):
    """A server in another process: the process and the endpoint."""
    command = [sys.executable, "-W", "error", "-c", SERVE, str(tmp_path / "hub")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        if process.poll() is None:
            process.kill()


def half_an_upload(endpoint, repo="demo/model"):
    """A connection that has sent the headers and half the bytes of CONTENT, all of which the server has read."""
    answer = httpx2.post(
        f"{endpoint}/{repo}.git/info/lfs/objects/batch",
        json={"operation": "upload", "transfers": ["basic"], "objects": [{"oid": SHA256, "size": len(CONTENT)}]},
        headers={"authorization": "Bearer x"},
    ).json()
    address = urlsplit(answer["objects"][0]["actions"]["upload"]["href"])
    connection = socket.create_connection((address.hostname, address.port))
    head = f"PUT {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    connection.sendall(head.encode() + CONTENT[: len(CONTENT) // 2])
    return connection


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("without_xet")  # through Xet nothing is kept before it is whole
def test_a_server_killed_during_an_upload_leaves_a_whole_store(tmp_path, elsewhere):
    process, endpoint = elsewhere
    api = HfApi(endpoint=endpoint, token="x")
    api.create_repo("demo/model")
    api.upload_file(path_or_fileobj=b"kept", path_in_repo="kept.safetensors", repo_id="demo/model")
    head = api.repo_info("demo/model").sha
    incoming = tmp_path / "hub/incoming"
    with half_an_upload(endpoint):
        wait_until(lambda: list(incoming.iterdir()))
        process.kill()
        process.wait()
    assert list(incoming.iterdir())
    assert find_running(tmp_path / "hub") is None

    with LocalHub(tmp_path / "hub") as hub:
        assert list(incoming.iterdir()) == []
        api = HfApi(endpoint=hub.endpoint, token="x")
        assert api.repo_info("demo/model").sha == head
        assert hub.store.blobs.size(SHA256) is None
        api.upload_file(path_or_fileobj=CONTENT, path_in_repo="new.safetensors", repo_id="demo/model")
        assert hub.store.blobs.path(SHA256).read_bytes() == CONTENT
        for path in (tmp_path / "hub/blobs").glob("*/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_a_client_that_hangs_up_leaves_nothing(hub, repo):
    half_an_upload(hub.endpoint, repo).close()
    wait_until(lambda: any(line.method == "PUT" for line in hub.requests))
    assert list((hub.store.root / "incoming").iterdir()) == []
    assert hub.store.blobs.size(SHA256) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_blocking_server_silently(tmp_path, elsewhere, number):
    process, endpoint = elsewhere
    assert find_running(tmp_path / "hub") == endpoint
    assert httpx2.get(f"{endpoint}/api/agent-harnesses").status_code == 404
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    assert (output, errors, process.returncode) == ("stopped\n", "", 0)
    assert find_running(tmp_path / "hub") is None
    assert not (tmp_path / "hub/server.json").exists()


def test_a_folder_has_one_server(elsewhere, tmp_path):
    _, endpoint = elsewhere
    with pytest.raises(WorkspaceError, match="another process serves"), LocalHub(tmp_path / "hub"):
        pass
    assert find_running(tmp_path / "hub") == endpoint


def test_a_running_server_is_found(tmp_path):
    root = tmp_path / "hub"
    assert find_running(root) is None
    assert not root.exists()
    with LocalHub(root) as hub:
        assert find_running(root) == hub.endpoint
    assert find_running(root) is None


def test_what_a_killed_server_announced_is_not_believed(tmp_path, hub):
    root = tmp_path / "old"
    root.mkdir()
    (root / "lock").touch()
    (root / "server.json").write_text(f'{{"endpoint": "{hub.endpoint}", "pid": {os.getpid()}}}')
    assert find_running(root) is None


def test_read_only_serves_reads_refuses_writes_and_touches_nothing(tmp_path):
    root = tmp_path / "hub"
    with LocalHub(root, readonly=True) as hub:
        assert not hub.store.has(Repository("demo/model"))
        with pytest.raises(HfHubHTTPError, match="read-only"):
            HfApi(endpoint=hub.endpoint, token="x").create_repo("demo/model")
    assert not root.exists()

    with LocalHub(root) as owner:
        api = HfApi(endpoint=owner.endpoint, token="x")
        api.create_repo("demo/model")
        api.upload_file(path_or_fileobj=b"weights", path_in_repo="a.safetensors", repo_id="demo/model")
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
        with LocalHub(root, readonly=True) as hub:  # beside the owner: it takes no lock
            reader = HfApi(endpoint=hub.endpoint, token="x")
            assert reader.whoami()["name"] == "demo"
            assert reader.repo_info("demo/model").sha == api.repo_info("demo/model").sha
            assert (
                httpx2.get(f"{hub.endpoint}/demo/model/resolve/main/a.safetensors", follow_redirects=True).text
                == "weights"
            )
            writes = [
                lambda: reader.upload_file(path_or_fileobj=b"x", path_in_repo="b.txt", repo_id="demo/model"),
                lambda: reader.create_tag("demo/model", tag="v1"),
                lambda: reader.delete_repo("demo/model"),
            ]
            for write in writes:
                with pytest.raises(HfHubHTTPError) as error:
                    write()
                assert error.value.response.status_code == 403
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
        assert find_running(root) == owner.endpoint


def test_a_taken_port_is_explained(hub, tmp_path):
    port = urlsplit(hub.endpoint).port
    with pytest.raises(UsageError, match=f"port {port}"), LocalHub(tmp_path / "other", port):
        pass
    with LocalHub(tmp_path / "other"):  # and the lock was let go
        pass


def test_it_stops_at_once_and_silently_with_connections_open(tmp_path, capfd):
    with httpx2.Client() as client:
        hub = LocalHub(tmp_path)
        with hub:
            HfApi(endpoint=hub.endpoint, token="x").create_repo("demo/model")
            client.get(f"{hub.endpoint}/api/whoami-v2")  # kept alive
            upload = half_an_upload(hub.endpoint)
            wait_until(lambda: list((tmp_path / "incoming").iterdir()))
            begin = time.monotonic()
        assert time.monotonic() - begin < 0.5
        assert list((tmp_path / "incoming").iterdir()) == []
        upload.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("without_xet")  # which packs, and would not fetch it in one piece
def test_requests_are_counted(hub, api, repo, content):
    api.upload_file(path_or_fileobj=content, path_in_repo="a.safetensors", repo_id=repo)
    assert sum(line.received for line in hub.requests if line.method == "PUT") == len(content)
    hub.requests.clear()
    httpx2.get(f"{hub.endpoint}/{repo}/resolve/main/a.safetensors", follow_redirects=True)
    assert [(line.method, line.status, line.sent) for line in hub.requests] == [
        ("GET", 302, 0),
        ("GET", 200, len(content)),
    ]


def test_an_answer_does_not_wait_for_the_network(hub):
    """Headers and body are two packets; with Nagle's algorithm on, the second waits 40 ms for an acknowledgement."""
    with httpx2.Client() as client:
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            client.get(f"{hub.endpoint}/api/local-hub")
            times.append(time.perf_counter() - begin)
    assert statistics.median(times) < 0.025
