"""What is compared, and that looking leaves no trace; tests/commands/test_verify.py shows what a person sees."""

from __future__ import annotations

import shutil

import pytest
from signing_keys import key_pair
from small_release import MODEL, SHARDS, TARGET, SmallRelease

from pipeline.errors import PipelineError
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Upload
from pipeline.hub.readonly import ReadOnly
from pipeline.manifest import Manifest, describe
from pipeline.release.load import load_release
from pipeline.release.signing import Signing
from pipeline.stages.job import Folders
from pipeline.stages.signature import KEY, Signer
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


@pytest.fixture
def signed(small, monkeypatch):
    """Publishes the release again, with a signature by NAME.key; the release asks for one by release.pub."""
    release = small.folder / "release.yaml"
    release.write_text(f"{release.read_text()}\nsigning: {{public_key: release.pub}}\n")
    for name in ("release", "other"):
        key_pair(small.root, name)

    def signed(name, files):
        monkeypatch.setenv(KEY, str(small.root / f"{name}.key"))
        path = small.root / "model.sig"
        path.write_bytes(Signer(Signing(public_key=f"{name}.pub"), small.root).sign("demo/model", files))
        with small.hub() as hub:
            upload = Upload(path, describe(path, "model.sig"))
            commit = hub.commit(TARGET, [upload], [], parent=hub.head(TARGET), message="Signed")
            hub.untag(TARGET, "v1")
            hub.tag(TARGET, "v1", commit)
        small.write_lock(small.lock.model.files, "v1", commit)

    return signed


def published(small):
    everything = {**{f: small.model / f for f in MODEL}, "release.lock.json": None}
    names = ("evidence.json", "assets/plot.png")
    files = [describe(path, name) for name, path in everything.items() if path]
    files += [describe(small.folder / name, name) for name in names]
    small.write_lock(small.lock.model.files, "v1", None)
    return Manifest((*files, describe(small.folder / "release.lock.json", "release.lock.json")))


def problems(small):
    with small.hub() as hub:
        found = verify(load_release(small.root, "demo"), Folders(small.root, small.root / ".pipeline"), hub)
    return found.problems, found.remarks, {row.file.path: row.there for row in found.rows}


def test_a_signature_holds_of_what_the_lock_says(small, signed):
    signed("release", published(small))
    wrong, remarks, rows = problems(small)
    assert (wrong, remarks) == ((), ("signed by the key of release.pub",))
    assert rows.pop("SHA256SUMS") == "other size", "it was written before there was a signature"
    assert set(rows.values()) == {"same"}


def test_a_signature_of_other_files_or_by_somebody_else_does_not(small, signed):
    files = published(small)
    signed("release", Manifest(tuple(file for file in files if file.path != SHARDS[0])))
    wrong, _, rows = problems(small)
    assert wrong == (f"the signature does not hold: it is of other files than these: {SHARDS[0]}",)
    assert rows["model.sig"] == "other content"
    signed("other", files)
    [wrong], _, _ = problems(small)
    assert wrong.startswith("the signature does not hold: Key mismatch")


def test_a_signature_that_is_asked_for_and_missing_is_a_difference(small, signed):
    wrong, _, _ = problems(small)
    assert wrong == ("it is not signed, and release.yaml asks for a signature by the key of release.pub",)
