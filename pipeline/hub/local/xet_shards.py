"""Xet shards: which files are made of which chunks of which xorbs, as clients upload it and as they ask for it.

A Xet shard describes files; it is not a shard of a model, which is a file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.hub.local.refusals import Refusal
from pipeline.hub.local.xet_hashes import SIZE, keyed, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.hub.local.xet_xorbs import Chunk

_TAG = bytes.fromhex("48465265706f4d6574614461746100556967456a7b815783a5bdd95ccdd14aa9")
_VERSION, _FOOTER_VERSION = 2, 1
_HEADER = struct.Struct(f"<{len(_TAG)}sQQ")
_FILE = struct.Struct(f"<{SIZE}sII8x")
_TERM = struct.Struct(f"<{SIZE}sIIII")
_DIGEST = struct.Struct(f"<{SIZE}s16x")
_XORB = struct.Struct(f"<{SIZE}sIIII")
_CHUNK = struct.Struct(f"<{SIZE}sII8x")
# The specification keeps the six numbers after the first three to itself. The client takes them for where three tables
# are and how many rows they have, reads the list of xorbs up to the first of those, and aborts its process at a zero.
_FOOTER = struct.Struct(f"<QQQ6Q{SIZE}sQQ72xQ")
_END = b"\xff" * SIZE + bytes(16)
_WITH_RANGE_HASHES, _WITH_SHA256 = 1 << 31, 1 << 30


@dataclass(frozen=True)
class Term:
    """Chunks `start` to before `end` of a xorb, `size` plain bytes."""

    xorb: bytes
    start: int
    end: int
    size: int


@dataclass(frozen=True)
class FileClaim:
    """What a client says of a file; `range_hashes` has one for every term."""

    digest: bytes
    terms: tuple[Term, ...]
    range_hashes: tuple[bytes, ...]
    sha256: str


@dataclass(frozen=True)
class XorbClaim:
    """What a client says of a xorb: hash and plain size of every chunk."""

    digest: bytes
    chunks: tuple[tuple[bytes, int], ...]


def read_shard(content: bytes) -> tuple[list[FileClaim], list[XorbClaim]]:
    """An uploaded shard, nothing of it believed yet; `Refusal` unless it is one, and whole.

    It should have no footer. The client for JavaScript sends one, and the Hub takes it: it says nothing that is needed.
    """
    reader = _Reader(content)
    tag, version, footer = reader.take(_HEADER)
    if tag != _TAG or version != _VERSION:
        raise Refusal("this is not a Xet shard of version 2")
    files, xorbs = list(_files(reader)), list(_xorbs(reader))
    if reader.left != footer:
        raise Refusal(f"{reader.left} bytes follow the end of the Xet shard in place of {footer}")
    return files, xorbs


def write_answer(xorbs: Sequence[tuple[bytes, Sequence[Chunk]]], key: bytes, now: int, expiry: int) -> bytes:
    """Where chunks are stored, for a client that holds some of them: it finds its own by hashing them with `key`."""
    parts = [_HEADER.pack(_TAG, _VERSION, _FOOTER.size), _END]
    for digest, chunks in xorbs:
        parts.append(_XORB.pack(digest, 0, len(chunks), sum(chunk.size for chunk in chunks), chunks[-1].end))
        start = 0
        for chunk in chunks:
            parts.append(_CHUNK.pack(keyed(key, chunk.digest), start, chunk.size))
            start += chunk.size
    parts.append(_END)
    end = sum(map(len, parts))
    xorbs_at = _HEADER.size + len(_END)
    tables = (end, 0) * 3
    parts.append(_FOOTER.pack(_FOOTER_VERSION, _HEADER.size, xorbs_at, *tables, key, now, expiry, end))
    return b"".join(parts)


def _files(reader: _Reader) -> Iterator[FileClaim]:
    while not reader.ends():
        digest, flags, count = reader.take(_FILE)
        if not flags & _WITH_RANGE_HASHES or not flags & _WITH_SHA256:
            raise Refusal(f"the file {to_text(digest)} comes without the hashes of its terms, or without its SHA-256")
        terms = [reader.take(_TERM) for _ in range(count)]
        range_hashes = [reader.take(_DIGEST)[0] for _ in range(count)]
        (sha256,) = reader.take(_DIGEST)
        yield FileClaim(
            digest,
            tuple(Term(xorb, start, end, size) for xorb, _, size, start, end in terms),
            tuple(range_hashes),
            to_text(sha256),
        )


def _xorbs(reader: _Reader) -> Iterator[XorbClaim]:
    while not reader.ends():
        digest, _, count, _, _ = reader.take(_XORB)
        rows = [reader.take(_CHUNK) for _ in range(count)]
        yield XorbClaim(digest, tuple((chunk, size) for chunk, _, size in rows))


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        if self.left < layout.size:
            raise Refusal("the Xet shard ends too early")
        fields = layout.unpack_from(self._content, self._at)
        self._at += layout.size
        return fields

    def ends(self) -> bool:
        """Whether a section ends here, which is then behind the reader."""
        if not self._content.startswith(_END, self._at):
            return False
        self._at += len(_END)
        return True
