"""An older revision made the present one again, by the real client at the local Hub, without sending weights."""

from __future__ import annotations

import os

import pytest
import sending

from pipeline.errors import HubRefused, Overtaken
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.attributes import GITATTRIBUTES
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.publish import publish
from pipeline.hub.retry import Patient
from pipeline.hub.rollback import plan_rollback, roll_back
from pipeline.manifest import describe

pytestmark = pytest.mark.usefixtures("way")
MODEL = Repository("demo/model")
SAME = os.urandom(60_000)
OLD = {
    "README.md": b"---\nlicense: mit\n---\n# Old\n",
    "config.json": b"{}",
    "model-1.safetensors": SAME,
    "model-2.safetensors": os.urandom(60_000),
    "sub/only-old.safetensors": os.urandom(60_000),
    "only-old.txt": b"x",
}
NEW = {
    "README.md": b"---\nlicense: mit\n---\n# New\n",
    "config.json": b"{}",
    "model-1.safetensors": SAME,
    "model-2.safetensors": os.urandom(60_000),
    "only-new.safetensors": os.urandom(60_000),
}


@pytest.fixture
def server(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def hub(server):
    return Patient(HuggingFace(server.endpoint, "token"))


@pytest.fixture
def push(hub, tmp_path):
    def push(contents, message):
        uploads = []
        for name, content in contents.items():
            path = tmp_path / "files" / message / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            uploads.append(Upload(path, describe(path, name)))
        return publish(hub, MODEL, uploads, message=message)

    return push


@pytest.fixture
def two_releases(server, hub, push):
    hub.create(MODEL)
    for name, contents in (("v1", OLD), ("v2", NEW)):
        hub.tag(MODEL, name, push(contents, name))
    server.requests.clear()


@pytest.fixture
def back(hub, tmp_path):
    def back(planned, note=lambda _: None):
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        return roll_back(hub, MODEL, planned, folder, note=note)

    return back


def tree(server, revision):
    return server.store.tree(MODEL, server.store.resolve(MODEL, revision))


def paths(files):
    return [file.path for file in files]


@pytest.mark.usefixtures("two_releases")
def test_the_plan_says_what_would_happen_and_changes_nothing(hub, server):
    planned = plan_rollback(hub, MODEL, "v1")
    assert paths(planned.copied) == ["model-2.safetensors", "sub/only-old.safetensors"]
    assert paths(planned.fetched) == ["README.md", "only-old.txt"]
    assert paths(planned.deleted) == ["only-new.safetensors"]
    assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.usefixtures("two_releases")
def test_one_commit_makes_the_tree_of_the_tag_again_and_sends_no_weights(hub, server, back):
    head = hub.head(MODEL)
    commit = back(plan_rollback(hub, MODEL, "v1"))
    assert tree(server, "main") == tree(server, "v1") != tree(server, "v2")
    newest, before, *_ = hub.history(MODEL, "main")
    assert (newest.id, newest.title, before.id) == (commit, "Roll back to v1", head)
    assert sending.sent(server.requests) == []
    assert not any("/batch" in request.path or "/xet" in request.path for request in server.requests)
    assert sum(request.received for request in server.requests) < 5_000


@pytest.mark.usefixtures("two_releases")
def test_there_and_back_again(hub, server, back):
    back(plan_rollback(hub, MODEL, "v1"))
    back(plan_rollback(hub, MODEL, "v2"))
    assert tree(server, "main") == tree(server, "v2")
    assert sending.sent(server.requests) == []
    assert {path: sending.stored(server.store, entry.sha256) for path, entry in tree(server, "main").items()} == {
        **NEW,
        ".gitattributes": GITATTRIBUTES.encode(),
    }


@pytest.mark.usefixtures("two_releases")
def test_what_is_there_already_is_nothing_to_do(hub, server, back):
    planned = plan_rollback(hub, MODEL, "v2")
    assert planned.nothing_to_do
    assert back(planned) == hub.head(MODEL)
    assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.usefixtures("two_releases")
def test_a_lost_answer_is_no_second_commit(hub, server, back):
    server.faults.add(Fault("drop", "*/commit/*", when="after", nth=(1,)))
    back(plan_rollback(hub, MODEL, "v1"))
    assert [commit.title for commit in hub.history(MODEL, "main")] == ["Roll back to v1", "v2", "v1", "initial commit"]


@pytest.mark.usefixtures("two_releases")
def test_somebody_elses_commit_in_between_is_not_rolled_over(hub, push, back):
    planned = plan_rollback(hub, MODEL, "v1")
    push({**NEW, "README.md": b"---\nlicense: mit\n---\n# Theirs\n"}, "theirs")
    with pytest.raises(Overtaken, match="theirs"):
        back(planned)
    assert hub.history(MODEL, "main")[0].title == "theirs"


@pytest.mark.usefixtures("two_releases")
def test_somebody_elses_file_that_the_tag_does_not_hold_is_told_and_removed(hub, server, back, push):
    planned, notes = plan_rollback(hub, MODEL, "v1"), []
    push({**NEW, "theirs.txt": b"theirs"}, "theirs")
    commit = back(planned, notes.append)
    assert [each.title for each in hub.history(MODEL, "main")][:3] == ["Roll back to v1", "theirs", "v2"]
    assert hub.head(MODEL) == commit
    assert tree(server, "main") == tree(server, "v1")
    [note] = notes
    assert "somebody else committed to demo/model" in note
    assert "(theirs.txt); none of these files is to be there, so it goes on, and its own commit removes them" in note


@pytest.mark.usefixtures("two_releases")
def test_the_hubs_own_file_too_is_as_it_was(hub, server, back, push):
    push({**OLD, ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}, "other attributes")
    assert paths(plan_rollback(hub, MODEL, "v1").fetched) == [".gitattributes"]
    back(plan_rollback(hub, MODEL, "v1"))
    assert tree(server, "main") == tree(server, "v1")


@pytest.mark.usefixtures("two_releases")
def test_a_tag_that_is_not_there(hub):
    with pytest.raises(HubRefused, match="has no tag v0") as caught:
        plan_rollback(hub, MODEL, "v0")
    assert caught.value.hint == "Its tags are: v1, v2."
    with pytest.raises(HubRefused, match="the Hub holds no demo/other"):
        plan_rollback(hub, Repository("demo/other"), "v1")
