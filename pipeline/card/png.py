"""PNG files as plots need them: opaque pixels, one line of text beside them, and nothing that changes by itself.

Written here and not by an imaging library, because those add their version, a date or a resolution.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3
_LARGEST = 5_000_000
"""Bytes of a file that is looked into; ours stay below a fiftieth of it."""


def encode(width: int, palette: bytes, indices: bytes, text: tuple[str, str]) -> bytes:
    """palette: three bytes a colour, 256 colours at most; indices: one byte a pixel, row by row from the top.

    text: a keyword and its value, both in ASCII.
    """
    rows = b"".join(b"\0" + indices[start : start + width] for start in range(0, len(indices), width))
    header = struct.pack(">IIBBBBB", width, len(indices) // width, 8, _INDEXED, 0, 0, 0)
    keyword, value = text
    return _SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"tEXt", keyword.encode("ascii") + b"\0" + value.encode("ascii")),
            _chunk(b"PLTE", palette),
            _chunk(b"IDAT", zlib.compress(rows, 9)),
            _chunk(b"IEND", b""),
        )
    )


def text(content: bytes, keyword: str) -> str | None:
    """The value of a keyword; None without one, and for what is no PNG or a broken one."""
    start = keyword.encode("ascii") + b"\0"
    try:
        chunks = list(_chunks(content))
    except (ValueError, struct.error):
        return None
    found = (body[len(start) :] for kind, body in chunks if kind == b"tEXt" and body.startswith(start))
    return next((value.decode("latin-1") for value in found), None)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not content.startswith(_SIGNATURE) or len(content) > _LARGEST:
        raise ValueError("no PNG")
    place, kind = len(_SIGNATURE), b""
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", content, place + 8 + length)
        if checksum != zlib.crc32(kind + body):
            raise ValueError("broken")
        yield kind, body
        place += 12 + length
    if kind != b"IEND":
        raise ValueError("cut short")
