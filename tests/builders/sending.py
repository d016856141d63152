"""What the client asks of a Hub when it sends a large file, by either way: through Xet, or as before there was Xet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.hub.local.app import RequestLine
    from pipeline.hub.local.store import Store

BYTES = {"xet": "*/xorbs/*", "lfs": "/signed/*/objects/*"}
"""By way: the route that takes the bytes."""
METHOD = {"xet": "POST", "lfs": "PUT"}
LAST = {"xet": "*/shards", "lfs": "*/verify"}
"""By way: what is asked when all bytes are there."""
ASKED = {
    "xet": ("*/batch", "*/xet-write-token/*", "*/chunks/*", BYTES["xet"], LAST["xet"]),
    "lfs": ("*/preupload/*", "*/batch", BYTES["lfs"], LAST["lfs"]),
}
"""By way: everything that is asked, in that order."""
LIBRARYS_OWN = 6
"""Attempts that the library of Xet makes of every request before anybody hears of it."""


def sent(requests: Iterable[RequestLine]) -> list[int]:
    """Bytes of files in every request that brought some; a xorb has 8 more for every chunk."""
    return [each.received for each in requests if each.received and _brings_bytes(each)]


def stored(store: Store, sha256: str) -> bytes:
    """What the local Hub holds, however it was sent."""
    path, file = store.blobs.path(sha256), store.xet.with_sha256(sha256)
    return path.read_bytes() if file is None or path.exists() else b"".join(store.xet.read(file))


def _brings_bytes(request: RequestLine) -> bool:
    route = {"PUT": "/signed/", "POST": "/v1/xorbs/"}.get(request.method)
    return route is not None and route in request.path
