"""The hashes of the Xet protocol: of a chunk, of a xorb, of a file, and of the part of a xorb that a file uses.

A hash is 32 bytes; as text, in paths and in JSON, every 8 bytes of it are one little-endian number in hexadecimal.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from blake3 import blake3

from pipeline.hub.local.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SIZE = 32
_CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
_FILE_KEY = bytes(SIZE)
_TEXT = re.compile(r"[0-9a-f]{64}")
# A node of the tree ends after the third child or a later one whose hash divides by this, or after the ninth.
_BRANCHING = 4
_FEWEST, _MOST = 3, 2 * _BRANCHING + 1
# One chunk in so many, found by its hash, is offered for deduplication to everybody; so is the first one of a file.
_SHARED = 1024


def to_text(digest: bytes) -> str:
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", digest))


def from_text(text: str) -> bytes:
    if not _TEXT.fullmatch(text):
        raise Refusal(f"{text!r} is not a Xet hash of 64 hexadecimal digits")
    return struct.pack("<4Q", *(int(text[start : start + 16], 16) for start in range(0, 64, 16)))


def chunk_hash(content: bytes) -> bytes:
    return blake3(content, key=_CHUNK_KEY).digest()


def xorb_hash(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    """The root over the hash and the length of every chunk in order; all zeros when there is none."""
    level = list(chunks)
    while len(level) > 1:
        level = [_node(children) for children in _groups(level)]
    return level[0][0] if level else bytes(SIZE)


def file_hash(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    return keyed(_FILE_KEY, xorb_hash(chunks)) if chunks else bytes(SIZE)


def range_hash(chunks: Iterable[bytes]) -> bytes:
    """Shows that whoever uses these chunks of a xorb knows their hashes."""
    return keyed(_RANGE_KEY, b"".join(chunks))


def keyed(key: bytes, content: bytes) -> bytes:
    return blake3(content, key=key).digest()


def is_shared(digest: bytes) -> bool:
    return _last_number(digest) % _SHARED == 0


def _groups(level: list[tuple[bytes, int]]) -> Iterable[list[tuple[bytes, int]]]:
    children: list[tuple[bytes, int]] = []
    for child in level:
        children.append(child)
        if len(children) == _MOST or (len(children) >= _FEWEST and _last_number(child[0]) % _BRANCHING == 0):
            yield children
            children = []
    if children:
        yield children


def _node(children: list[tuple[bytes, int]]) -> tuple[bytes, int]:
    lines = "".join(f"{to_text(digest)} : {size}\n" for digest, size in children)
    return keyed(_NODE_KEY, lines.encode()), sum(size for _, size in children)


def _last_number(digest: bytes) -> int:
    return int.from_bytes(digest[24:], "little")
