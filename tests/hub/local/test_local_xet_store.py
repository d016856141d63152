from __future__ import annotations

import hashlib
import itertools
import random

import pytest
import xet_objects

from pipeline.hub.local.refusals import ReadOnly, Refusal
from pipeline.hub.local.xet_hashes import chunk_hash, file_hash, xorb_hash
from pipeline.hub.local.xet_shards import read_shard
from pipeline.hub.local.xet_store import XetStore

CONTENTS = [random.Random(number).randbytes(1000 + number) for number in range(20)]
WHOLE = b"".join(CONTENTS)
SHA256 = hashlib.sha256(WHOLE).hexdigest()
XORB, PACKED = xet_objects.xorb(CONTENTS, 1)


@pytest.fixture
def store(tmp_path):
    store = XetStore(tmp_path)
    store.add_xorb(XORB, PACKED)
    return store


def register(store, **lies):
    return list(store.register(*read_shard(xet_objects.shard(CONTENTS, **lies))))


def test_a_file_is_there_once_it_is_registered(store, tmp_path):
    assert store.with_sha256(SHA256) is None
    assert register(store) == [(0, 1), (1, 1)]
    file = XetStore(tmp_path, readonly=True).with_sha256(SHA256)
    assert (file.sha256, file.size) == (SHA256, len(WHOLE))
    assert b"".join(store.read(file)) == WHOLE
    assert store.file(file.digest) == file


def test_what_is_registered_already_is_not_read_again(store):
    register(store)
    assert register(store) == [(0, 0)]


@pytest.mark.parametrize(("start", "end"), [(0, 1), (999, 1001), (1000, 1001), (5000, 9000), (len(WHOLE) - 1, None)])
def test_a_part_of_a_file(store, start, end):
    register(store)
    assert b"".join(store.read(store.with_sha256(SHA256), start, end)) == WHOLE[start:end]


def test_blocks_are_neither_tiny_nor_the_whole_file(tmp_path):
    contents = [random.Random(number).randbytes(100_000) for number in range(25)]
    store = XetStore(tmp_path)
    store.add_xorb(*xet_objects.xorb(contents))
    list(store.register(*read_shard(xet_objects.shard(contents))))
    file = store.with_sha256(hashlib.sha256(b"".join(contents)).hexdigest())
    assert [len(block) for block in store.read(file)] == [1_100_000, 1_100_000, 300_000]


def test_a_xorb_is_stored_once_and_under_no_other_name(store):
    assert store.add_xorb(XORB, PACKED) is False
    with pytest.raises(Refusal, match="the xorb has the hash"):
        store.add_xorb(bytes(32), PACKED)
    assert not store.xorb_path(bytes(32)).exists()


@pytest.mark.parametrize(
    ("lies", "said"),
    [
        ({"sha256": hashlib.sha256(b"other").hexdigest()}, "has the SHA-256"),
        ({"file": bytes(32)}, "the file has the hash"),
        ({"proof": bytes(32)}, "hash of a term"),
        ({"size": len(WHOLE) - 1}, "does not have the"),
        ({"xorb": b"\1" * 32}, "never uploaded"),
        ({"end": 21}, "chunks 0 to 21 of the 20"),
        ({"start": 5, "end": 5}, "chunks 5 to 5"),
        ({"start": 20, "end": 19}, "chunks 20 to 19"),
        ({"listed": xet_objects.pairs(CONTENTS[:-1])}, "other chunks"),
        ({"listed": [*xet_objects.pairs(CONTENTS[:-1]), (bytes(32), 1019)]}, "other chunks"),
    ],
)
def test_nothing_of_a_claim_that_is_not_true_is_registered(store, tmp_path, lies, said):
    with pytest.raises(Refusal, match=said):
        register(store, **lies)
    assert not list((tmp_path / "xet").glob("files/*/*"))
    assert store.with_sha256(SHA256) is None


def test_a_known_file_cannot_be_given_another_sha256(store):
    register(store)
    with pytest.raises(Refusal, match="has the SHA-256"):
        register(store, sha256=hashlib.sha256(b"other").hexdigest())


def test_the_first_chunk_of_a_file_is_offered_for_deduplication(store):
    assert store.xorb_of(chunk_hash(CONTENTS[0])) is None
    register(store)
    assert store.xorb_of(chunk_hash(CONTENTS[0])) == XORB
    assert store.xorb_of(chunk_hash(CONTENTS[1])) is None


def test_a_kill_between_any_two_writes_leaves_a_store_that_can_go_on(tmp_path, monkeypatch):
    contents = CONTENTS[:3]
    sha256 = hashlib.sha256(b"".join(contents)).hexdigest()

    class Killed(Exception):
        pass

    for survived in range(6):
        store = XetStore(tmp_path / str(survived))
        write, left = XetStore._write, iter(range(survived))

        def until_killed(*arguments, write=write, left=left):
            if next(left, None) is None:
                raise Killed
            write(*arguments)

        def go(store):
            store.add_xorb(*xet_objects.xorb(contents))
            list(store.register(*read_shard(xet_objects.shard(contents))))

        with monkeypatch.context() as patch:
            patch.setattr(XetStore, "_write", until_killed)
            try:
                go(store)
            except Killed:
                assert survived < 5
        file = store.with_sha256(sha256)
        assert file is None or b"".join(store.read(file)) == b"".join(contents)
        go(store)
        assert store.with_sha256(sha256).digest == file_hash(xet_objects.pairs(contents))


def test_a_file_that_is_dropped_is_forgotten_until_it_is_registered_again(store):
    register(store)
    assert store.stored() == [SHA256]
    store.drop(SHA256)
    store.drop(SHA256)
    assert (store.stored(), store.with_sha256(SHA256)) == ([], None)
    assert store.chunks(XORB)
    register(store)
    assert store.stored() == [SHA256]


def test_a_xorb_that_no_file_is_made_of_is_swept_and_one_that_another_file_uses_is_not(store):
    """The second file is made of chunks of both xorbs: it was deduplicated against the first one."""
    register(store)
    more = [random.Random(number).randbytes(2000 + number) for number in range(30, 33)]
    other, packed = xet_objects.xorb(more)
    store.add_xorb(other, packed)
    terms = [(XORB, 0, 1), (other, 0, 1), (other, 1, 2), (other, 2, 3)]
    list(store.register(*read_shard(xet_objects.shard_of_chunks([CONTENTS[0], *more], terms))))
    both = hashlib.sha256(b"".join([CONTENTS[0], *more])).hexdigest()

    assert store.drop(SHA256) == {XORB}
    store.sweep()
    assert b"".join(store.read(store.with_sha256(both))) == b"".join([CONTENTS[0], *more])
    assert store.drop(both) == {XORB, other}
    store.sweep(among={other})
    assert (store.chunks(other), bool(store.chunks(XORB))) == (None, True)
    store.sweep()
    assert store.chunks(XORB) is None
    assert not [path for path in (store.root / "xorbs").rglob("*") if path.is_file()]
    assert store.xorb_of(chunk_hash(CONTENTS[0])) is None, "nobody is told to use it"
    with pytest.raises(Refusal, match="never uploaded"):
        register(store)


def test_a_xorb_that_is_swept_while_its_file_is_registered_leaves_no_file(store):
    steps = store.register(*read_shard(xet_objects.shard(CONTENTS)))
    assert list(itertools.islice(steps, 2)) == [(0, 1), (1, 1)]
    store.sweep()
    with pytest.raises(Refusal, match="dropped meanwhile"):
        next(steps)
    assert store.with_sha256(SHA256) is None


def test_every_file_of_the_same_bytes_is_dropped(store):
    """The same bytes, cut in another place, are another file."""
    register(store)
    whole = [WHOLE[:3000], WHOLE[3000:]]
    store.add_xorb(*xet_objects.xorb(whole))
    list(store.register(*read_shard(xet_objects.shard(whole))))
    assert store.drop(SHA256) == {XORB, xet_objects.xorb(whole)[0]}
    store.sweep()
    assert not [path for path in (store.root / "xorbs").rglob("*") if path.is_file()]


def test_a_store_that_is_read_only_takes_nothing(tmp_path):
    store = XetStore(tmp_path / "none", readonly=True)
    with pytest.raises(ReadOnly):
        store.add_xorb(XORB, PACKED)
    with pytest.raises(ReadOnly):
        register(store)
    assert store.chunks(xorb_hash([])) is None
    assert not (tmp_path / "none").exists()
