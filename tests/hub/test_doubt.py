"""What the repository holds says whether a commit was made, and who was quicker."""

from __future__ import annotations

import pytest

from pipeline.errors import HubRefused, Overtaken
from pipeline.hub import doubt
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import File, Manifest, describe

MODEL = Repository("demo/model")


@pytest.fixture
def hub(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        hub = HuggingFace(server.endpoint, "token")
        hub.create(MODEL)
        yield hub


@pytest.fixture
def upload(tmp_path):
    def upload(name, content=b"x"):
        (tmp_path / name).write_bytes(content)
        return Upload(tmp_path / name, describe(tmp_path / name, name))

    return upload


def test_nothing_was_made_while_the_head_is_where_it_was(hub, upload):
    assert doubt.committed(hub, MODEL, [upload("a.txt")], [], hub.head(MODEL)) is None


def test_a_commit_with_these_changes_is_the_one(hub, upload):
    parent = hub.head(MODEL)
    made = hub.commit(MODEL, [upload("a.txt"), upload("b.txt")], [], parent=parent, message="x")
    assert doubt.committed(hub, MODEL, [upload("a.txt"), upload("b.txt")], [], parent) == made
    fewer = hub.commit(MODEL, [], ["a.txt"], parent=made, message="x")
    assert doubt.committed(hub, MODEL, [], ["a.txt"], made) == fewer


@pytest.mark.parametrize("others", [["a.txt"], ["a.txt", "b.txt", "c.txt"]])
def test_a_commit_with_fewer_or_more_changes_is_somebody_elses(hub, upload, others):
    parent = hub.head(MODEL)
    hub.commit(MODEL, [upload(name) for name in others], [], parent=parent, message="theirs")
    with pytest.raises(Overtaken, match="theirs") as caught:
        doubt.committed(hub, MODEL, [upload("a.txt"), upload("b.txt")], [], parent)
    assert caught.value.paths == set(others)


def test_a_commit_with_another_content_is_somebody_elses(hub, upload):
    parent = hub.head(MODEL)
    hub.commit(MODEL, [upload("a.txt", b"theirs")], [], parent=parent, message="theirs")
    with pytest.raises(Overtaken):
        doubt.committed(hub, MODEL, [upload("a.txt", b"ours")], [], parent)


def test_everybody_is_named_with_what_they_changed(hub, upload):
    parent = hub.head(MODEL)
    head = parent
    for number in range(3):
        files = [upload(f"{number}-{part}.txt") for part in range(7 if number else 1)]
        head = hub.commit(MODEL, files, [], parent=head, message=f"change {number}\n\nat length")
    said = str(doubt.overtaken(hub, MODEL, parent, head))
    assert said.count(" by demo on ") == 3
    assert "change 0 (0-0.txt)" in said
    assert "change 2 (2-0.txt, 2-1.txt, 2-2.txt, 2-3.txt, 2-4.txt and 2 more)" in said
    ours = doubt.overtaken(hub, MODEL, parent, head, ours="change 1")
    assert "change 1" not in str(ours)
    assert "1-0.txt" not in ours.paths


def test_a_repository_that_is_gone_answers_no_question(hub, upload):
    with pytest.raises(HubRefused, match="demo/nothing is gone"):
        doubt.committed(hub, Repository("demo/nothing"), [], [], "0" * 40)


def test_the_hubs_own_files_make_no_difference():
    ours, theirs = File("a", 1, git_sha1="1"), File(".gitattributes", 9, git_sha1="2")
    assert doubt.difference(Manifest((ours,)), Manifest((ours, theirs))) == []
    assert doubt.difference(Manifest((ours,)), Manifest((File("a", 1, git_sha1="3"), File("b", 1, git_sha1="4")))) == [
        "a",
        "b",
    ]
