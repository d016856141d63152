from __future__ import annotations

import pytest
import xet_objects

from pipeline.hub.local.refusals import Refusal
from pipeline.hub.local.xet_hashes import keyed
from pipeline.hub.local.xet_shards import read_shard, write_answer
from pipeline.hub.local.xet_xorbs import read_xorb

CONTENTS = [b"one", b"three", b"two"]


def test_a_shard_says_what_a_file_is_made_of():
    [file], [xorb] = read_shard(xet_objects.shard(CONTENTS, start=1, end=3, size=8))
    [term] = file.terms
    assert (term.xorb, term.start, term.end, term.size) == (xet_objects.xorb(CONTENTS)[0], 1, 3, 8)
    assert xorb.digest == term.xorb
    assert list(xorb.chunks) == xet_objects.pairs(CONTENTS)


def test_a_footer_is_not_needed_and_not_read():
    assert read_shard(xet_objects.shard(CONTENTS, footer=200) + bytes(200)) == read_shard(xet_objects.shard(CONTENTS))


@pytest.mark.parametrize("length", [0, 47, 48, 100, 300, -1])
def test_half_a_shard_is_refused(length):
    with pytest.raises(Refusal, match="too early"):
        read_shard(xet_objects.shard(CONTENTS)[:length])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(48), "not a Xet shard"),
        (xet_objects.shard(CONTENTS, version=3), "version 2"),
        (xet_objects.shard(CONTENTS, footer=200) + bytes(199), "199 bytes follow .* in place of 200"),
        (xet_objects.shard(CONTENTS, flags=0x80000000), "without its SHA-256"),
        (xet_objects.shard(CONTENTS, flags=0x40000000), "without the hashes of its terms"),
        (xet_objects.shard(CONTENTS) + b"more", "4 bytes follow .* in place of 0"),
    ],
)
def test_what_is_no_shard_of_files_is_refused(content, said):
    with pytest.raises(Refusal, match=said):
        read_shard(content)


def test_an_answer_hides_the_hashes_of_chunks_from_whoever_does_not_have_them():
    digest, content = xet_objects.xorb(CONTENTS)
    chunks = read_xorb(content)
    answer = write_answer([(digest, chunks)], b"k" * 32, 1, 2)
    assert digest in answer
    assert all(chunk.digest not in answer for chunk in chunks)
    assert all(keyed(b"k" * 32, chunk.digest) in answer for chunk in chunks)
    assert int.from_bytes(answer[-8:], "little") == len(answer) - 200
