"""Xorbs: many chunks of files in one object, each behind a header of its own, packed or not."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.frame

from pipeline.hub.local.refusals import Refusal
from pipeline.hub.local.xet_hashes import SIZE, chunk_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LARGEST_CHUNK = 128 * 2**10
_MOST_CHUNKS = 8 * 2**10
_HEADER = 8
LARGEST = 64 * 2**20 + _MOST_CHUNKS * _HEADER
"""Bytes of a xorb or a Xet shard; the client counts 64 MiB without the headers, and fills them where nothing packs."""

_STORED, _LZ4, _GROUPED_LZ4 = 0, 1, 2
_ROW = struct.Struct(f"<{SIZE}sII")


@dataclass(frozen=True)
class Chunk:
    """`size` is that of its plain bytes; `end` is where its packed bytes, after those of all before it, end."""

    digest: bytes
    size: int
    end: int


def read_xorb(content: bytes) -> list[Chunk]:
    """Every chunk of a xorb, unpacked once to hash it; `Refusal` for anything but whole chunks one after the other."""
    chunks: list[Chunk] = []
    for plain, end in _unpacked(memoryview(content)):
        chunks.append(Chunk(chunk_hash(plain), len(plain), end))
    if not chunks:
        raise Refusal("the xorb is empty")
    return chunks


def plain_chunks(packed: bytes) -> Iterator[bytes]:
    """The plain bytes of chunks that lie one after the other."""
    return (plain for plain, _ in _unpacked(memoryview(packed)))


def write_table(chunks: Sequence[Chunk]) -> bytes:
    return b"".join(_ROW.pack(chunk.digest, chunk.size, chunk.end) for chunk in chunks)


def read_table(content: bytes) -> list[Chunk]:
    return [Chunk(*row) for row in _ROW.iter_unpack(content)]


def _unpacked(content: memoryview) -> Iterator[tuple[bytes, int]]:
    """The plain bytes of every chunk, and where it ends."""
    at = 0
    while at < len(content):
        if len(content) - at < _HEADER:
            raise Refusal(f"the xorb ends inside the header of a chunk, at byte {at}")
        version, scheme = content[at], content[at + 4]
        packed_size = int.from_bytes(content[at + 1 : at + 4], "little")
        size = int.from_bytes(content[at + 5 : at + 8], "little")
        if version != 0:
            raise Refusal(f"the chunk at byte {at} of the xorb has version {version}, not 0")
        if not 0 < size <= _LARGEST_CHUNK:
            raise Refusal(f"the chunk at byte {at} of the xorb has {size} bytes, not 1 to {_LARGEST_CHUNK}")
        end = at + _HEADER + packed_size
        if end > len(content):
            raise Refusal(f"the xorb ends inside the chunk at byte {at}")
        plain = _unpack(scheme, content[at + _HEADER : end], size)
        if len(plain) != size:
            raise Refusal(f"the chunk at byte {at} of the xorb holds {len(plain)} bytes in place of {size}")
        yield plain, end
        at = end


def _unpack(scheme: int, packed: memoryview, size: int) -> bytes:
    if scheme == _STORED:
        return bytes(packed)
    if scheme not in {_LZ4, _GROUPED_LZ4}:
        raise Refusal(f"a chunk of the xorb is packed in an unknown way, {scheme}")
    frame = lz4.frame.LZ4FrameDecompressor()
    try:
        # A byte more than there may be: a small frame can hold gigabytes.
        plain: bytes = frame.decompress(packed, max_length=size + 1)
    except RuntimeError as error:
        raise Refusal(f"a chunk of the xorb is not an LZ4 frame: {error}") from None
    return _ungrouped(plain) if scheme == _GROUPED_LZ4 else plain


def _ungrouped(grouped: bytes) -> bytes:
    """Undo a sort by position in groups of four bytes: all first bytes, then all second ones, and so on."""
    plain = bytearray(len(grouped))
    start = 0
    for position in range(4):
        length = (len(grouped) - position + 3) // 4
        plain[position::4] = grouped[start : start + length]
        start += length
    return bytes(plain)
