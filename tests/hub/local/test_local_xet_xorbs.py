from __future__ import annotations

import random

import lz4.frame
import pytest
import xet_objects

from pipeline.hub.local.refusals import Refusal
from pipeline.hub.local.xet_xorbs import plain_chunks, read_table, read_xorb, write_table

CONTENTS = [random.Random(1).randbytes(1001), b"abcd" * 5000, bytes(range(256)) * 16, b"x", b"xy", b"xyz"]


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_chunks_come_out_as_they_went_in(scheme):
    _, content = xet_objects.xorb(CONTENTS, scheme)
    chunks = read_xorb(content)
    assert [(chunk.digest, chunk.size) for chunk in chunks] == xet_objects.pairs(CONTENTS)
    assert chunks[-1].end == len(content)
    assert list(plain_chunks(content)) == CONTENTS
    assert list(plain_chunks(content[chunks[0].end : chunks[2].end])) == CONTENTS[1:3]
    assert read_table(write_table(chunks)) == chunks


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (xet_objects.chunk(b"hello")[:-1], "ends inside the chunk at byte 0"),
        (xet_objects.chunk(b"hello") + b"\0\0\0", "ends inside the header of a chunk, at byte 13"),
        (xet_objects.header(5, 0, 5, version=1) + b"hello", "version 1"),
        (xet_objects.header(5, 0, 6) + b"hello", "5 bytes in place of 6"),
        (xet_objects.header(0, 0, 0), "0 bytes, not 1 to"),
        (xet_objects.header(131073, 0, 131073) + bytes(131073), "131073 bytes, not 1 to"),
        (xet_objects.header(5, 3, 5) + b"hello", "unknown way, 3"),
        (xet_objects.header(10, 1, 5) + b"hello, all", "not an LZ4 frame"),
    ],
)
def test_what_is_no_xorb_is_refused(content, said):
    with pytest.raises(Refusal, match=said):
        read_xorb(content)


def test_a_small_frame_that_holds_gigabytes_is_not_unpacked():
    frame = lz4.frame.compress(bytes(200_000_000))
    with pytest.raises(Refusal, match="101 bytes in place of 100"):
        read_xorb(xet_objects.header(len(frame), 1, 100) + frame)
