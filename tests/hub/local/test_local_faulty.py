"""What every kind of fault does to a plain HTTP client, on both origins."""

from __future__ import annotations

import hashlib
import random
import time

import httpx2
import pytest

from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository

MODEL = Repository("demo/model")
CONTENT = random.Random(3).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HOME = "/api/models/demo/model"
TOKEN = {"authorization": "Bearer x"}


@pytest.fixture
def hub(tmp_path):
    """A server with one repository: a large file at the second origin, a small one at the first."""
    files = {"large.safetensors": tmp_path / "large", "small.txt": tmp_path / "small"}
    for path in files.values():
        path.write_bytes(CONTENT)
    with LocalHub(tmp_path / "hub") as hub:
        hub.store.import_folder(MODEL, files, "first", "2026-01-01")
        yield hub


def get(hub, path, **options):
    return httpx2.get(f"{hub.endpoint}/{path}", headers=TOKEN, follow_redirects=True, timeout=10, **options)


def tag(hub):
    return httpx2.post(f"{hub.endpoint}{HOME}/tag/main", json={"tag": "v1"}, headers=TOKEN)


def tags(hub):
    return hub.store.refs(MODEL).tags


def put(hub):
    wanted = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": "0" * 64, "size": len(CONTENT)}]}
    answer = httpx2.post(f"{hub.endpoint}/demo/model.git/info/lfs/objects/batch", json=wanted, headers=TOKEN).json()
    return httpx2.put(answer["objects"][0]["actions"]["upload"]["href"], content=CONTENT)


def test_a_status_comes_with_its_headers_and_words_and_nothing_is_done(hub):
    hub.faults.add(Fault("status", "*/tag/*", status=429, headers={"Retry-After": "7"}, message="slow down", nth=(1,)))
    answer = tag(hub)
    assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (429, "7", {"error": "slow down"})
    assert tags(hub) == {}
    assert tag(hub).status_code == 200


def test_a_status_is_heard_by_a_client_that_sends_much(hub):
    hub.faults.add(Fault("status", "*/objects/*", "PUT", status=503))
    assert put(hub).status_code == 503


def test_a_full_account_is_said_as_the_hub_says_it(hub):
    hub.faults.add(Fault("quota", "*/batch"))
    answer = httpx2.post(f"{hub.endpoint}/demo/model.git/info/lfs/objects/batch", json={}, headers=TOKEN)
    assert answer.status_code == 403
    assert "storage limit reached" in answer.headers["X-Error-Message"]


def test_a_signed_address_expires(hub):
    hub.faults.add(Fault("expired", "/signed/*", nth=(1,)))
    assert get(hub, "demo/model/resolve/main/large.safetensors").status_code == 403
    assert get(hub, "demo/model/resolve/main/large.safetensors").content == CONTENT


@pytest.mark.parametrize(("when", "done"), [("before", {}), ("middle", {}), ("after", {"v1": "main"})])
def test_a_dropped_connection_leaves_the_client_alone_with_what_was_done(hub, when, done):
    hub.faults.add(Fault("drop", "*/tag/*", when=when, nth=(1,)))
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        tag(hub)
    assert list(tags(hub)) == list(done)
    assert hub.requests[-1].status == 0
    assert get(hub, "api/models/demo/model").status_code == 200, "the next connection is a good one"


@pytest.mark.parametrize("name", ["large.safetensors", "small.txt"])
def test_half_an_answer(hub, name):
    hub.faults.add(Fault("drop", "*/objects/*" if name.startswith("large") else "*/small.txt", when="middle"))
    received = []
    with httpx2.stream("GET", f"{hub.endpoint}/demo/model/resolve/main/{name}", follow_redirects=True) as answer:
        assert answer.headers["content-length"] == str(len(CONTENT))
        with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete message body"):
            received.extend(answer.iter_bytes())
    assert sum(map(len, received)) <= len(CONTENT) // 2


def test_half_a_request_is_no_upload(hub):
    hub.faults.add(Fault("drop", "*/objects/*", "PUT", when="middle"))
    with pytest.raises(httpx2.TransportError):
        put(hub)
    assert hub.store.blobs.stored() == [SHA256]
    assert not list((hub.store.root / "incoming").iterdir())


def test_a_stall_is_silence_and_the_server_still_stops_at_once(hub):
    hub.faults.add(Fault("stall", "*/tag/*", seconds=3600, nth=(1,)))
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{hub.endpoint}{HOME}/tag/main", json={"tag": "v1"}, headers=TOKEN, timeout=0.2)
    assert tags(hub) == {}


def test_a_slow_link_lets_everything_through_in_its_own_time(hub):
    hub.faults.add(Fault("slow", "*/objects/*", rate=400_000))
    begin = time.monotonic()
    assert get(hub, "demo/model/resolve/main/large.safetensors").content == CONTENT
    assert time.monotonic() - begin > 0.4, "a lower bound: it cannot be faster than its rate"
    hub.faults.add(Fault("slow", "*/batch", rate=10_000))
    assert put(hub).status_code == 400  # the bytes are not those that were announced


def test_a_truncated_answer_seems_whole(hub):
    hub.faults.add(Fault("truncated", "*/objects/*", nth=(1,)), Fault("truncated", "*/small.txt", byte=10, nth=(1,)))
    assert get(hub, "demo/model/resolve/main/large.safetensors").content == CONTENT[: len(CONTENT) // 2]
    assert get(hub, "demo/model/resolve/main/small.txt").content == CONTENT[:10]


def test_one_bit_is_another(hub):
    hub.faults.add(Fault("corrupted", "*/objects/*", nth=(1,)), Fault("corrupted", "*/small.txt", byte=5, nth=(1,)))
    for name, at in (("large.safetensors", len(CONTENT) // 2), ("small.txt", 5)):
        content = get(hub, f"demo/model/resolve/main/{name}").content
        assert [index for index in range(len(CONTENT)) if content[index] != CONTENT[index]] == [at]


def test_somebody_else_commits_in_between(hub):
    head = hub.store.resolve(MODEL, "main")
    hub.faults.add(Fault("moved", f"{HOME}/refs", file="README.md"))
    assert get(hub, "api/models/demo/model/refs").json()["branches"][0]["targetCommit"] != head
    commit = hub.store.commit_at(MODEL, hub.store.resolve(MODEL, "main"))
    assert (commit.parent, commit.author, commit.title) == (head, "somebody-else", "Change README.md")
    assert set(hub.store.tree(MODEL, commit.id)) == {"large.safetensors", "small.txt", "README.md"}


def test_bytes_that_no_commit_refers_to_are_dropped(hub):
    for content in (b"a", b"b", b"c"):
        hub.store.add_regular("x", content)
    hub.faults.add(Fault("collected", f"{HOME}/refs", blobs=2, nth=(1,)), Fault("collected", f"{HOME}/refs"))
    before = hub.store.blobs.stored()
    get(hub, "api/models/demo/model/refs")
    assert len(hub.store.blobs.stored()) == len(before) - 2
    get(hub, "api/models/demo/model/refs")
    assert hub.store.blobs.stored() == [SHA256]
    assert get(hub, "demo/model/resolve/main/large.safetensors").content == CONTENT


def test_every_fault_is_a_request_of_the_log(hub):
    hub.faults.add(Fault("drop", "*/tag/*", nth=(1,)), Fault("status", "*/tag/*", status=500, nth=(2,)))
    for _ in range(2):
        try:
            tag(hub)
        except httpx2.RemoteProtocolError:
            continue
    assert [line.status for line in hub.requests] == [0, 500]
    assert hub.faults.by_kind() == {"drop": 1, "status": 1}
