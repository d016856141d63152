"""Every promise of the Hub protocol, kept by every implementation: the client, with patience, and looked at only.

The server is the embedded one; large files go up by both ways. On a bad day it also drops the first
request of every kind, before or after it did what was asked, and patience has to hide that.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import BlobsGone, HubError, HubRefused, Interrupted, Overtaken
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Copy, Repository, Upload
from pipeline.hub.readonly import ReadOnly
from pipeline.hub.retry import Patient
from pipeline.manifest import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.hub.protocol import Hub

pytestmark = pytest.mark.usefixtures("way")
MODEL = Repository("demo/model")
TEXTS = Repository("demo/texts", "dataset")
CONTENTS = {"config.json": b"{}", "model.safetensors": os.urandom(300_000), "sub/notes.txt": b"hello"}
_ROUTES = ("*/whoami-v2", "*/revision/*", "*/tree/*", "*/refs", "*/create", "*/settings", "*/preupload/*", "*/batch")
_ROUTES += (
    "*/auth-check/write",
    "*/objects/*",
    "*/verify",
    "*/commit/*",
    "*/commits/*",
    "*/tag/*",
    "*/resolve/*",
    "*/validate-yaml",
    "*/xet-write-token/*",
    "*/chunks/*",
    "*/xorbs/*",
    "*/shards",
)

WRITING = {
    "client": lambda hub: hub,
    "patience": Patient,
    "patience, answers lost": Patient,
    "patience, requests lost": Patient,
}
READING = {
    **WRITING,
    "looked at only": ReadOnly,
    "looked at only, with patience": lambda hub: ReadOnly(Patient(hub)),
}
_BAD_DAYS = {
    "patience, answers lost": [Fault("drop", route, when="after", nth=(1,)) for route in _ROUTES],
    "patience, requests lost": [Fault("drop", route, when="middle", nth=(1,)) for route in _ROUTES],
}


@dataclass
class Tried:
    """The server, a patient client to prepare and to look with, and `hub`, the implementation that is tried.

    The bad day begins when `hub` is first asked for.
    """

    name: str
    server: LocalHub

    @cached_property
    def client(self) -> Hub:
        return Patient(HuggingFace(self.server.endpoint, "token"))

    @cached_property
    def hub(self) -> Hub:
        self.server.faults.add(*_BAD_DAYS.get(self.name, []))
        return READING[self.name](HuggingFace(self.server.endpoint, "token"))


def publish(hub: Hub, uploads: dict[str, Upload]) -> str:
    hub.create(MODEL)
    return hub.commit(MODEL, list(uploads.values()), [], parent=hub.head(MODEL), message="first")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalHub]:
    with LocalHub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Upload]:
    uploads = {}
    for name, content in CONTENTS.items():
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        uploads[name] = Upload(path, describe(path, name))
    return uploads


@pytest.fixture(params=WRITING)
def tried(request, server: LocalHub) -> Tried:
    """An implementation that may write, at an empty Hub."""
    return Tried(request.param, server)


@pytest.fixture(params=READING)
def read(request, server: LocalHub, files: dict[str, Upload]) -> Tried:
    """An implementation at a Hub that holds `files` as the first commit after the Hub's own."""
    tried = Tried(request.param, server)
    publish(tried.client, files)
    return tried


def ignore(_: int) -> None:
    pass


# What is read.


def test_the_account_of_the_token(read):
    assert read.hub.whoami() == "demo"
    assert read.hub.endpoint == read.server.endpoint


def test_what_the_token_may_write_to(read):
    read.hub.check_writable(MODEL)
    read.hub.check_writable(Repository("demo/not-there-yet"))
    with pytest.raises(HubRefused, match="demo is not somebody and no member of it"):
        read.hub.check_writable(Repository("somebody/not-there-yet"))


def test_the_head_or_nothing(read):
    assert read.hub.head(MODEL) == read.server.store.resolve(MODEL, "main")
    assert read.hub.head(MODEL, "v1") is None
    assert read.hub.head(TEXTS) is None


def test_a_manifest_names_every_file_with_its_digest(read, files):
    there = read.hub.manifest(MODEL, "main")
    assert {file.path for file in there} == {*files, ".gitattributes"}
    assert all(upload.file.same_content(there[name]) for name, upload in files.items())


def test_the_history_begins_with_the_newest(read):
    newest, first = read.hub.history(MODEL, "main")
    assert newest.id == read.hub.head(MODEL)
    assert (newest.title, newest.authors) == ("first", "demo")
    assert first.title == "initial commit"
    assert newest.date >= first.date
    assert [commit.id for commit in read.hub.history(MODEL, first.id)] == [first.id]


def test_tags_by_name(read):
    assert read.hub.tags(MODEL) == {}
    head = read.client.head(MODEL)
    read.client.tag(MODEL, "v1", head)
    assert read.hub.tags(MODEL) == {"v1": head}
    assert read.hub.head(MODEL, "v1") == head


def test_the_room_that_a_repository_takes(read):
    storage = read.hub.storage(MODEL)
    assert storage.used == sum(file.size for file in read.client.manifest(MODEL, "main"))
    assert (storage.private, storage.free) == (True, True)
    read.client.make_public(MODEL)
    assert not read.hub.storage(MODEL).private


def test_a_part_of_a_file(read):
    assert read.hub.read(MODEL, "main", "model.safetensors", 100, 50) == CONTENTS["model.safetensors"][100:150]
    with pytest.raises(HubRefused, match="404"):
        read.hub.read(MODEL, "main", "absent", 0, 1)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_download_is_whole_counted_and_leaves_nothing_beside_it(read, tmp_path, name):
    folder = tmp_path / "downloaded"
    folder.mkdir()
    told: list[int] = []
    read.hub.download(MODEL, "main", read.hub.manifest(MODEL, "main")[name], folder / "target", told.append)
    assert (folder / "target").read_bytes() == CONTENTS[name]
    assert sum(told) == len(CONTENTS[name])
    assert [path.name for path in folder.iterdir()] == ["target"]


def test_a_card_is_checked(read):
    read.hub.validate_card("---\nlicense: mit\n---\n# Hello\n")
    with pytest.raises(HubRefused, match="front matter"):
        read.hub.validate_card("---\n- a list\n---\n# Hello\n")


def test_an_address_is_for_people(read):
    assert read.hub.address(MODEL) == f"{read.server.endpoint}/demo/model"
    assert read.hub.address(MODEL, "v1") == f"{read.server.endpoint}/demo/model/tree/v1"


@pytest.mark.parametrize("name", ["looked at only", "looked at only, with patience"])
def test_who_only_looks_sends_nothing_that_writes(server, files, name):
    looking = READING[name](HuggingFace(server.endpoint, "token"))
    for write in (
        lambda: looking.create(MODEL),
        lambda: looking.make_public(MODEL),
        lambda: looking.missing(MODEL, [files["config.json"]]),
        lambda: looking.preupload(MODEL, files["config.json"], ignore),
        lambda: looking.commit(MODEL, [], ["config.json"], parent="0" * 40, message="x"),
        lambda: looking.tag(MODEL, "v1", "0" * 40),
        lambda: looking.untag(MODEL, "v1"),
    ):
        with pytest.raises(AssertionError, match="a dry run was about to"):
            write()
    assert not server.requests


# What is written.


def test_a_new_repository_is_private_until_it_is_made_public(tried):
    stranger = HuggingFace(tried.server.endpoint, False)
    tried.hub.create(MODEL)
    assert tried.hub.is_private(MODEL)
    assert tried.client.head(MODEL)
    assert stranger.head(MODEL) is None
    tried.hub.make_public(MODEL)
    assert not tried.hub.is_private(MODEL)
    assert stranger.head(MODEL) == tried.client.head(MODEL)


def test_creating_it_again_changes_nothing(tried):
    tried.hub.create(MODEL)
    tried.hub.make_public(MODEL)
    head = tried.client.head(MODEL)
    tried.hub.create(MODEL)
    assert tried.client.head(MODEL) == head
    assert not tried.server.store.refs(MODEL).private


def test_a_commit_is_one_commit_and_holds_what_was_sent(tried, files):
    commit = publish(tried.hub, files)
    history = tried.client.history(MODEL, "main")
    assert [each.title for each in history] == ["first", "initial commit"]
    assert history[0].id == commit
    there = tried.client.manifest(MODEL, commit)
    assert {file.path for file in there} == {*files, ".gitattributes"}
    assert all(upload.file.same_content(there[name]) for name, upload in files.items())


def test_a_commit_deletes_what_it_is_told_to(tried, files):
    first = publish(tried.client, files)
    second = tried.hub.commit(MODEL, [], ["sub/notes.txt"], parent=first, message="less")
    assert tried.client.head(MODEL) == second
    assert "sub/notes.txt" not in tried.client.manifest(MODEL, second)
    assert "sub/notes.txt" in tried.client.manifest(MODEL, first)


def test_bytes_sent_ahead_are_counted_once_and_not_sent_again(tried, files):
    tried.client.create(MODEL)
    told: list[int] = []
    large = files["model.safetensors"]
    tried.hub.preupload(MODEL, large, told.append)
    assert sum(told) in {0, large.file.size}  # nothing where the bytes arrived although the answer was lost
    assert tried.server.store.large_size(large.file.sha256) == large.file.size
    tried.server.requests.clear()
    tried.hub.preupload(MODEL, large, told.append)
    publish(tried.hub, files)
    assert sum(request.received for request in tried.server.requests) < large.file.size


def test_what_is_missing_is_large_and_not_there(tried, files, tmp_path):
    tried.client.create(MODEL)
    large = files["model.safetensors"]
    twin = Upload(large.source, replace(large.file, path="twin.safetensors"))
    uploads = [*files.values(), twin]
    assert list(tried.hub.missing(MODEL, uploads)) == [large, twin]
    tried.client.preupload(MODEL, large, ignore)
    assert not tried.hub.missing(MODEL, uploads)


def test_an_upload_can_be_interrupted(tried, files):
    tried.client.create(MODEL)

    def stop(_: int) -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        tried.hub.preupload(MODEL, files["model.safetensors"], stop)


def test_a_head_that_moved_is_no_place_to_commit_to(tried, files):
    tried.client.create(MODEL)
    parent = tried.client.head(MODEL)
    theirs = tried.client.commit(MODEL, [files["config.json"]], [], parent=parent, message="somebody else's")
    with pytest.raises(Overtaken):
        tried.hub.commit(MODEL, [files["sub/notes.txt"]], [], parent=parent, message="mine")
    assert tried.client.head(MODEL) == theirs


def test_dropped_bytes_are_named_and_nothing_is_committed(tried, files):
    tried.client.create(MODEL)
    tried.client.preupload(MODEL, files["model.safetensors"], ignore)
    head = tried.client.head(MODEL)
    tried.server.faults.add(Fault("collected", "*/commit/*"))
    with pytest.raises(BlobsGone) as caught:
        tried.hub.commit(MODEL, list(files.values()), [], parent=head, message="x")
    assert caught.value.paths == ("model.safetensors",)
    assert tried.client.head(MODEL) == head


def test_a_tag_names_a_commit_and_does_not_move(tried, files):
    first = publish(tried.client, files)
    tried.hub.tag(MODEL, "v1", first)
    assert tried.client.tags(MODEL) == {"v1": first}
    second = tried.client.commit(MODEL, [], ["config.json"], parent=first, message="x")
    with pytest.raises(HubRefused):
        tried.hub.tag(MODEL, "v1", second)
    assert tried.client.tags(MODEL) == {"v1": first}


def test_a_tag_that_is_removed_is_gone_and_the_commit_is_not(tried, files):
    first = publish(tried.client, files)
    tried.client.tag(MODEL, "v1", first)
    tried.hub.untag(MODEL, "v1")
    assert tried.client.tags(MODEL) == {}
    assert "model.safetensors" in tried.client.manifest(MODEL, first)
    tried.hub.untag(MODEL, "v1")


def test_files_of_an_earlier_commit_come_back_without_being_sent(tried, files):
    first = publish(tried.client, files)
    before = tried.client.manifest(MODEL, first)
    parent = tried.client.commit(MODEL, [], ["model.safetensors", "config.json"], parent=first, message="less")
    tried.server.requests.clear()
    copies = [Copy(first, before[name]) for name in ("model.safetensors", "config.json")]
    commit = tried.hub.commit(MODEL, copies, [], parent=parent, message="again")
    assert tried.client.manifest(MODEL, commit) == before
    assert sum(request.received for request in tried.server.requests) < before["model.safetensors"].size


def test_what_never_gets_an_answer_ends(tried, server):
    server.faults.add(Fault("status", status=503))
    for call in (tried.hub.whoami, lambda: tried.hub.head(MODEL), lambda: tried.hub.create(MODEL)):
        with pytest.raises(HubError) as caught:
            call()
        assert not isinstance(caught.value, HubRefused)
