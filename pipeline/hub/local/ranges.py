"""Which bytes a `Range` header asks for, where the answer is not a file on disk."""

from __future__ import annotations

import re

from pipeline.hub.local.refusals import NotSatisfiable

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) within `size` bytes; None without a header, or with more ranges than one."""
    if header is None or "," in header:
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        raise NotSatisfiable(f"{header!r} is not a range of bytes")
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise NotSatisfiable(f"{header!r} is outside of {size} bytes")
    return start, end
