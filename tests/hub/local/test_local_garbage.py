from __future__ import annotations

import hashlib
import random

import xet_objects

from pipeline.hub.local.contents import Put, large_entry
from pipeline.hub.local.garbage import collect
from pipeline.hub.local.store import Store
from pipeline.hub.local.xet_shards import read_shard
from pipeline.hub.protocol import Repository

MODEL = Repository("demo/model")
CONTENTS = [[random.Random(f"{file}/{chunk}").randbytes(5000) for chunk in range(4)] for file in range(3)]


def sent(store, contents):
    store.xet.add_xorb(*xet_objects.xorb(contents))
    list(store.xet.register(*read_shard(xet_objects.shard(contents))))
    return hashlib.sha256(b"".join(contents)).hexdigest()


def xorbs(store):
    return [bool(store.xet.chunks(xet_objects.xorb(contents)[0])) for contents in CONTENTS]


def test_what_a_commit_refers_to_stays_with_its_xorbs_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    store.create(MODEL, private=False, author="demo")
    kept, dropped = (sent(store, contents) for contents in CONTENTS[:2])
    store.xet.add_xorb(*xet_objects.xorb(CONTENTS[2]))  # of an upload that never ended
    store.commit(MODEL, "main", [Put(large_entry("a.bin", 20_000, kept))], message="one", author="demo")
    assert collect(store) == [dropped]
    assert xorbs(store) == [True, False, False]
    assert b"".join(store.xet.read(store.xet.with_sha256(kept))) == b"".join(CONTENTS[0])
    assert collect(store) == []


def test_where_only_so_many_may_go_only_their_xorbs_go(tmp_path):
    store = Store(tmp_path)
    digests = {sent(store, contents): number for number, contents in enumerate(CONTENTS[:2])}
    store.xet.add_xorb(*xet_objects.xorb(CONTENTS[2]))
    (dropped,) = collect(store, 1)
    there = [True, True, True]
    there[digests[dropped]] = False
    assert xorbs(store) == there


def test_an_empty_hub_has_nothing_to_collect(tmp_path):
    assert collect(Store(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
