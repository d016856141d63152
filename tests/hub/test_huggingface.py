"""The real client against the real embedded Hub: every promise of the Hub protocol."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import HubError, HubRefused, Interrupted
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.readonly import ReadOnly
from pipeline.manifest import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = Repository("demo/model")
pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalHub]:
    with LocalHub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def hub(server: LocalHub) -> HuggingFace:
    return HuggingFace(server.endpoint, "token")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Upload]:
    contents = {"config.json": b"{}", "model.safetensors": os.urandom(3_000_000), "sub/notes.txt": b"hello"}
    uploads = {}
    for name, content in contents.items():
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        uploads[name] = Upload(path, describe(path, name))
    return uploads


def publish(hub, uploads, deletes=()):
    hub.create(MODEL)
    return hub.commit(MODEL, list(uploads), list(deletes), parent=hub.head(MODEL), message="first")


def ignore(amount: int) -> None:
    pass


def test_a_repository_that_is_not_there_has_no_head(hub):
    assert hub.head(MODEL) is None
    assert hub.head(Repository("demo/texts", "dataset")) is None


def test_a_commit_holds_what_was_sent_and_nothing_else(hub, files):
    commit = publish(hub, files.values())
    wanted = [upload.file for upload in files.values()]
    there = hub.manifest(MODEL, commit)
    assert hub.head(MODEL) == commit
    assert {file.path for file in there} == {*files, ".gitattributes"}
    assert all(file.same_content(there[file.path]) for file in wanted)


def test_a_commit_deletes_what_it_is_told_to(hub, files):
    first = publish(hub, files.values())
    second = hub.commit(MODEL, [], ["sub/notes.txt"], parent=first, message="less")
    assert "sub/notes.txt" not in hub.manifest(MODEL, second)
    assert "sub/notes.txt" in hub.manifest(MODEL, first)


def test_bytes_sent_ahead_are_not_sent_again(hub, server, files):
    hub.create(MODEL)
    told = []
    big = files["model.safetensors"]
    hub.preupload(MODEL, big, told.append)
    assert sum(told) == big.file.size
    sent = sum(request.received for request in server.requests)
    assert sent >= big.file.size
    publish(hub, files.values())
    assert sum(request.received for request in server.requests) - sent < 20_000


def test_an_upload_can_be_interrupted(hub, files):
    hub.create(MODEL)

    def stop(_: int) -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        hub.preupload(MODEL, files["model.safetensors"], stop)


def test_a_head_that_moved_is_a_refusal(hub, files):
    parent = hub.create(MODEL) or hub.head(MODEL)
    hub.commit(MODEL, [files["config.json"]], [], parent=parent, message="somebody else")
    with pytest.raises(HubRefused, match="412") as caught:
        hub.commit(MODEL, [files["sub/notes.txt"]], [], parent=parent, message="mine")
    assert "Somebody else committed" in caught.value.hint


def test_tags_name_commits_and_do_not_move(hub, files):
    first = publish(hub, files.values())
    hub.tag(MODEL, "v1", first)
    assert hub.tags(MODEL) == {"v1": first}
    second = hub.commit(MODEL, [], ["config.json"], parent=first, message="x")
    with pytest.raises(HubRefused, match="409"):
        hub.tag(MODEL, "v1", second)


def test_a_new_repository_is_invisible_until_it_is_made_public(hub, server, files):
    publish(hub, files.values())
    stranger = HuggingFace(server.endpoint, False)
    assert stranger.head(MODEL) is None
    hub.make_public(MODEL)
    assert stranger.head(MODEL) == hub.head(MODEL)


def test_a_range_of_a_file(hub, files):
    commit = publish(hub, files.values())
    content = files["model.safetensors"].source.read_bytes()
    assert hub.read(MODEL, commit, "model.safetensors", 100, 50) == content[100:150]
    with pytest.raises(HubError):
        hub.read(MODEL, commit, "model.safetensors", len(content) - 10, 50)
    with pytest.raises(HubRefused, match="404"):
        hub.read(MODEL, commit, "absent", 0, 1)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "sub/notes.txt"])
def test_a_download_arrives_whole_and_is_counted(hub, files, tmp_path, name):
    commit = publish(hub, files.values())
    target, told = tmp_path / "target", []
    hub.download(MODEL, commit, hub.manifest(MODEL, commit)[name], target, told.append)
    assert target.read_bytes() == files[name].source.read_bytes()
    assert sum(told) == files[name].file.size


def test_the_card_is_checked_before_anything_is_committed(hub):
    hub.validate_card("---\nlicense: mit\n---\n# Hello\n")
    with pytest.raises(HubRefused, match="front matter"):
        hub.validate_card("---\n- a list\n---\n# Hello\n")


def test_a_dry_run_reads_and_never_writes(hub, server, files):
    commit = publish(hub, files.values())
    already = len(server.requests)
    looking = ReadOnly(hub)
    assert looking.head(MODEL) == commit
    assert len(looking.manifest(MODEL, commit)) == 4
    for write in (
        lambda: looking.create(MODEL),
        lambda: looking.make_public(MODEL),
        lambda: looking.preupload(MODEL, files["config.json"], ignore),
        lambda: looking.commit(MODEL, [], ["config.json"], parent=commit, message="x"),
        lambda: looking.tag(MODEL, "v1", commit),
    ):
        with pytest.raises(AssertionError, match="a dry run was about to"):
            write()
    assert {request.method for request in list(server.requests)[already:]} <= {"GET", "HEAD"}
