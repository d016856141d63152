"""A repository's whole content by one commit, while the network, the Hub and other people get in the way."""

from __future__ import annotations

import json
import os

import pytest
import sending
from starlette.responses import JSONResponse

from pipeline.errors import HubError, Overtaken
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local import commits
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.publish import publish
from pipeline.hub.retry import Patient
from pipeline.manifest import describe

pytestmark = pytest.mark.usefixtures("way")

MODEL = Repository("demo/model")
CARD = b"---\nlicense: mit\n---\n# Hello\n"
SHARDS = ("model-1.safetensors", "model-2.safetensors", "model-3.safetensors")


@pytest.fixture
def server(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def hub(server):
    hub = Patient(HuggingFace(server.endpoint, "token"))
    hub.create(MODEL)
    return hub


@pytest.fixture
def write(tmp_path):
    def write(contents):
        uploads = []
        for name, content in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            uploads.append(Upload(path, describe(path, name)))
        return uploads

    return write


@pytest.fixture
def uploads(write):
    return write({"README.md": CARD, **{name: os.urandom(50_000) for name in SHARDS}})


@pytest.fixture
def notes():
    return []


def holds(server, uploads, revision="main"):
    """Whether the repository holds exactly these files, beside the Hub's own."""
    tree = server.store.tree(MODEL, server.store.resolve(MODEL, revision))
    return {path: entry.sha256 for path, entry in tree.items() if path != ".gitattributes"} == {
        upload.file.path: upload.file.sha256 for upload in uploads
    }


def assert_sent(server, size, at_least=None):
    """So many bytes of large files have come, but for what Xet adds to each chunk of at least 8 kB."""
    assert (size if at_least is None else at_least) <= sum(sending.sent(server.requests)) <= size * 1.001


def titles(hub):
    return [commit.title for commit in hub.history(MODEL, "main")]


def test_it_is_one_commit_and_the_second_time_none(hub, server, uploads):
    commit = publish(hub, MODEL, uploads, message="v1")
    assert holds(server, uploads, commit)
    assert publish(hub, MODEL, uploads, message="v1") == commit
    assert titles(hub) == ["v1", "initial commit"]


def test_what_is_no_part_of_it_disappears_in_the_same_commit(hub, server, uploads):
    publish(hub, MODEL, uploads, message="v1")
    publish(hub, MODEL, uploads[:2], message="v2")
    assert holds(server, uploads[:2])
    assert titles(hub) == ["v2", "v1", "initial commit"]


def test_a_file_beside_the_release_is_no_reason_to_stop(hub, server, uploads, notes):
    server.faults.add(Fault("moved", "*/commit/*", file="theirs.txt", nth=(1,)))
    commit = publish(hub, MODEL, uploads, message="v1", note=notes.append)
    assert holds(server, uploads, commit)
    assert titles(hub) == ["v1", "Change theirs.txt", "initial commit"]
    assert len(notes) == 1
    assert "by somebody-else" in notes[0]
    assert "none of these files is to be there, so it goes on, and its own commit removes them" in notes[0]


def test_a_file_of_the_release_is(hub, server, uploads):
    server.faults.add(Fault("moved", "*/commit/*", file="README.md", nth=(1,)))
    with pytest.raises(Overtaken, match=r"by somebody-else on .*Change README.md \(README.md\)") as caught:
        publish(hub, MODEL, uploads, message="v1")
    assert titles(hub) == ["Change README.md", "initial commit"]
    assert caught.value.exit_code == 4


def test_what_happened_since_the_release_began_counts_too(hub, server, uploads, write, notes):
    parent = publish(hub, MODEL, uploads, message="v1")
    publish(hub, MODEL, [*uploads, *write({"theirs.txt": b"x"})], message="somebody else's")
    changed = [*write({"README.md": CARD + b"ours"}), *uploads[1:]]
    assert holds(server, changed, publish(hub, MODEL, changed, message="v2", parent=parent, note=notes.append))
    assert "somebody else's (theirs.txt)" in notes[0]

    parent = hub.head(MODEL)
    publish(hub, MODEL, [*write({"README.md": CARD + b"theirs"}), *uploads[1:]], message="somebody else's")
    changed = [*write({"README.md": CARD + b"ours, too"}), *uploads[1:]]
    with pytest.raises(Overtaken, match=r"somebody else's \(README.md\)"):
        publish(hub, MODEL, changed, message="v3", parent=parent)


def test_an_earlier_commit_of_the_same_release_is_nobody_elses(hub, server, uploads, write):
    parent = hub.head(MODEL)
    publish(hub, MODEL, uploads, message="v1\n\nat length")
    changed = [*write({"README.md": CARD + b"better"}), *uploads[1:]]
    assert holds(server, changed, publish(hub, MODEL, changed, message="v1\n\nat length", parent=parent))


def test_dropped_bytes_are_sent_again_and_no_others(hub, server, uploads, notes, way):
    for upload in uploads[1:]:
        hub.preupload(MODEL, upload, lambda _: None)
    server.requests.clear()
    server.faults.add(Fault("collected", "*/commit/*", blobs=2, nth=(1,)))
    commit = publish(hub, MODEL, uploads, message="v1", note=notes.append)
    assert holds(server, uploads, commit)
    # The library of Xet knows where their chunks are, and the local Hub still holds those.
    assert_sent(server, 2 * 50_000, at_least=2 * 50_000 if way == "lfs" else 0)
    # Two questions a commit, before it and in it, and without Xet one a file that is sent again.
    assert sum("/preupload/" in request.path for request in server.requests) == 4 + (2 if way == "lfs" else 0)
    assert len(notes) == 1
    assert "has dropped" in notes[0]


@pytest.mark.parametrize("when", ["before", "middle", "after"])
def test_a_lost_answer_is_no_second_commit(hub, server, uploads, when):
    server.faults.add(Fault("drop", "*/commit/*", when=when, nth=(1,)))
    assert holds(server, uploads, publish(hub, MODEL, uploads, message="v1"))
    assert titles(hub) == ["v1", "initial commit"]


def test_what_comes_after_a_harmless_commit_is_looked_at_too(hub, server, uploads, notes):
    server.faults.add(
        Fault("moved", "*/commit/*", file="theirs.txt", nth=(1,)),
        Fault("moved", "*/revision/main", file="README.md", nth=(3,)),  # when the first one has been judged
    )
    with pytest.raises(Overtaken, match=r"Change README.md \(README.md\)"):
        publish(hub, MODEL, uploads, message="v1", note=notes.append)
    assert len(notes) == 1
    assert "theirs.txt" in notes[0]
    assert titles(hub) == ["Change README.md", "Change theirs.txt", "initial commit"]


def test_a_gitignore_of_the_repository_leaves_nothing_of_a_release_out(hub, server, uploads, monkeypatch):
    """The Hub tells the client which files it names, and the client would leave them out of the commit."""
    answer = commits._upload_modes

    def ignoring(request, files):
        said = json.loads(answer(request, files).body)
        return JSONResponse({"files": [{**file, "shouldIgnore": True} for file in said["files"]]})

    monkeypatch.setattr(commits, "_upload_modes", ignoring)
    assert holds(server, uploads, publish(hub, MODEL, uploads, message="v1"))
    assert titles(hub) == ["v1", "initial commit"]


def test_a_restless_repository_is_given_up(hub, server, uploads):
    server.faults.add(*(Fault("moved", "*/commit/*", file=f"{n}.txt", nth=(n,)) for n in range(1, 20)))
    with pytest.raises(HubError, match="did not come to rest in 5 attempts"):
        publish(hub, MODEL, uploads, message="v1")
    assert titles(hub)[-2:] == ["Change 1.txt", "initial commit"]
    assert "v1" not in titles(hub)


def test_a_repository_that_was_deleted_is_no_place_to_publish_to(server, hub, uploads):
    server.store.delete(MODEL)
    with pytest.raises(HubError, match="demo/model is gone"):
        publish(hub, MODEL, uploads, message="v1")


def shards(count, contents):
    return {f"model-{n:05}-of-{count:05}.safetensors": content for n, content in enumerate(contents, 1)}


def release(hub, server, uploads, title):
    """As a release does it: every shard ahead, then one commit; the bytes of large files that were sent for it."""
    server.requests.clear()
    for upload in uploads:
        if upload.file.path.endswith(".safetensors"):
            hub.preupload(MODEL, upload, lambda _: None)
    publish(hub, MODEL, uploads, message=title)
    return sum(sending.sent(server.requests))


BESIDE = {
    "README.md": CARD,
    "LICENSE": b"MIT",
    "SHA256SUMS": b"0 *",
    "assets/plot.png": b"\x89PNG" + os.urandom(9_996),
    "chat_template.jinja": b"{{ x }}",
    "config.json": b"{}",
    "evidence.json": b"{}",
    "generation_config.json": b"{}",
    "model.safetensors.index.json": b"{}",
    "release.lock.json": b"{}",
    "sub/sub/notes.txt": b"deep",
    "tiktoken.model": os.urandom(10_000),
    "tokenization_kimi.py": b"pass",
}


def test_seventy_shards_then_fewer_then_other_names_are_a_commit_each_and_only_what_differs_is_sent(hub, server, write):
    weights = [os.urandom(10_000 + n) for n in range(70)]
    first = write({**shards(70, weights), **BESIDE})
    size = sum(map(len, weights)) + 20_000
    assert size <= release(hub, server, first, "v1") <= size * 1.001
    assert holds(server, first)

    # Thirty shards have the bytes of another one of before, and every one a new name.
    later = [*weights[40:], *(os.urandom(10_000) for _ in range(31))]
    beside = {name: content for name, content in BESIDE.items() if name != "sub/sub/notes.txt"}
    second = write({**shards(61, later), **beside, "README.md": CARD + b"v2", "config.json": b'{"v": 2}'})
    assert 310_000 <= release(hub, server, second, "v2") <= 310_000 * 1.001
    assert holds(server, second)

    third = write({**shards(61, later[::-1]), **beside})
    assert release(hub, server, third, "v3") == 0
    assert holds(server, third)
    fourth = write({f"weights/{n}.safetensors": content for n, content in enumerate(later)} | beside)
    assert release(hub, server, fourth, "v4") == 0
    assert holds(server, fourth)
    assert titles(hub) == ["v4", "v3", "v2", "v1", "initial commit"]
    for upload in fourth:
        entry = server.store.tree(MODEL, hub.head(MODEL))[upload.file.path]
        assert sending.stored(server.store, entry.sha256) == upload.source.read_bytes()
