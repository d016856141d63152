"""The Xet protocol, the way up: which chunks are stored already, xorbs, and Xet shards that make files of them."""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.hub.local.access import part, served
from pipeline.hub.local.refusals import NotFound, Refusal
from pipeline.hub.local.xet_hashes import SIZE, from_text
from pipeline.hub.local.xet_shards import read_shard, write_answer
from pipeline.hub.local.xet_tokens import check_token
from pipeline.hub.local.xet_xorbs import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from pipeline.manifest import Json

_REGISTERED = 1
# The specification has the second for chunks, the client sends the first.
_CHUNK_PREFIXES = {"default", "default-merkledb"}
_KNOWN_FOR = 7 * 86_400  # seconds for which a client may rely on what it was told of stored chunks


def find_chunk(request: Request) -> Response:
    """A Xet shard of the xorb that holds a chunk; its own hashes are hidden from whoever does not have the bytes."""
    check_token(request)
    if part(request, "prefix") not in _CHUNK_PREFIXES:
        raise Refusal(f"{part(request, 'prefix')!r} is not a prefix of chunks")
    digest = from_text(part(request, "hash"))
    store = served(request).store.xet
    xorb = store.xorb_of(digest)
    chunks = store.chunks(xorb) if xorb else None
    if xorb is None or not chunks:
        raise NotFound("this chunk is not offered for deduplication")
    now = int(time.time())
    answer = write_answer([(xorb, chunks)], secrets.token_bytes(SIZE), now, now + _KNOWN_FOR)
    return Response(answer, media_type="application/octet-stream")


def look_at_xorb(request: Request) -> Response:
    check_token(request)
    path = served(request).store.xet.xorb_path(_xorb(request))
    if not path.exists():
        raise NotFound("no such xorb is stored")
    return Response(headers={"Content-Length": str(path.stat().st_size)})


async def put_xorb(request: Request) -> JSONResponse:
    check_token(request, write=True)
    digest = _xorb(request)
    inserted = await run_in_threadpool(served(request).store.xet.add_xorb, digest, await _body(request))
    return JSONResponse({"was_inserted": inserted})


async def put_shard(request: Request) -> JSONResponse:
    check_token(request, write=True)
    files, xorbs = read_shard(await _body(request))
    await run_in_threadpool(deque, served(request).store.xet.register(files, xorbs), 0)
    return JSONResponse({"result": _REGISTERED})


async def put_shard_and_watch(request: Request) -> StreamingResponse:
    """The same, in lines of JSON that tell how far it is; the status is 200 by then, so an error is such a line too."""
    check_token(request, write=True)
    files, xorbs = read_shard(await _body(request))
    events = _events(served(request).store.xet.register(files, xorbs))
    return StreamingResponse(events, headers={"Cache-Control": "no-cache"}, media_type="application/x-ndjson")


def _events(progress: Iterator[tuple[int, int]]) -> Iterator[str]:
    try:
        for done, total in progress:
            yield _line({"type": "validating", "verified": done, "total": total})
    except Refusal as refusal:
        yield _line({"type": "error", "message": str(refusal), "retryable": False})
    else:
        yield _line({"type": "result", "result": _REGISTERED})


def _line(event: dict[str, Json]) -> str:
    return f"{json.dumps(event)}\n"


def _xorb(request: Request) -> bytes:
    if part(request, "prefix") != "default":
        raise Refusal(f"{part(request, 'prefix')!r} is not a prefix of xorbs")
    return from_text(part(request, "hash"))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > LARGEST:
            raise Refusal(f"more than {LARGEST} bytes arrived")
    return bytes(body)


routes = [
    Route("/xet/{run}/v1/chunks/{prefix}/{hash}", find_chunk),
    Route("/xet/{run}/v1/xorbs/{prefix}/{hash}", look_at_xorb, methods=["HEAD"]),
    Route("/xet/{run}/v1/xorbs/{prefix}/{hash}", put_xorb, methods=["POST"]),
    Route("/xet/{run}/v1/shards", put_shard, methods=["POST"]),
    Route("/xet/{run}/v2/shards", put_shard_and_watch, methods=["POST"]),
]
