"""What is compared, and that looking leaves no trace; tests/commands/test_verify.py shows what a person sees."""

from __future__ import annotations

import shutil

import pytest
from small_release import MODEL, SHARDS, SmallRelease

from pipeline.errors import PipelineError
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.readonly import ReadOnly
from pipeline.release.load import load_release
from pipeline.stages.job import Folders
from pipeline.stages.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
SMALL = {"config.json", "tokenizer.json"}


@pytest.fixture
def small(repository):
    small = SmallRelease(repository.root)
    small.release()
    return small


@pytest.fixture
def server(small):
    with LocalHub(small.root / ".pipeline/hub") as server:
        yield server


@pytest.fixture
def verified(small, server):
    def verified():
        hub = ReadOnly(HuggingFace(server.endpoint, "token"))
        folders = Folders(small.root, small.root / ".pipeline")
        return verify(load_release(small.root, "demo"), folders, hub)

    return verified


def fetched(server):
    return {request.path.rsplit("/", 1)[-1] for request in server.requests if "/resolve/" in request.path}


@pytest.mark.usefixtures("way")
def test_nothing_is_fetched_where_local_files_tell_every_digest(verified, server):
    assert verified().agrees
    assert {request.method for request in server.requests} == {"GET"}
    assert not fetched(server)


@pytest.mark.usefixtures("way")
def test_without_them_only_small_files_are(verified, server, small):
    shutil.rmtree(small.model)
    found = verified()
    assert found.agrees
    assert found.model is None
    assert fetched(server) == SMALL


def test_a_flipped_bit_in_a_local_file_is_found_whatever_its_date(verified, small):
    path = small.model / SHARDS[0]
    content = bytearray(MODEL[SHARDS[0]])
    content[10_000] ^= 1
    path.write_bytes(content)
    assert [row.file.path for row in verified().rows if not row.agrees] == [SHARDS[0]]


def test_another_head_is_worth_a_word_and_no_difference(verified, small):
    lock = small.lock
    small.release("v2", model={**MODEL, "more.txt": b"x"})
    small.write_lock(lock.model.files, "v1", lock.target.commit)
    found = verified()
    assert found.agrees
    assert "main is at another commit" in found.remarks[0]


def test_a_repository_or_a_commit_that_is_gone(verified, small):
    small.write_lock((), "v9", "0" * 40)
    with pytest.raises(PipelineError, match="neither the tag v9 nor the commit 000000000000"):
        verified()
    shutil.rmtree(small.root / ".pipeline/hub/repositories")
    with pytest.raises(PipelineError, match="the Hub shows no demo/"):
        verified()
