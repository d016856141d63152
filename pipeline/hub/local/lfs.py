"""Large-file storage, the way up: a batch says where to send what, the second origin takes the bytes.

The Hub gives out addresses that are signed and carry no token; so does this one. The addresses of a killed server are
void, as expired ones are on the Hub, and the client asks for new ones. A client that asks for it is sent to Xet.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.hub.local.access import check_signature, json_body, number, part, rows, served, text, writable
from pipeline.hub.local.refusals import NotFound, Refusal
from pipeline.hub.local.xet_tokens import token_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from pipeline.hub.local.access import Served
    from pipeline.hub.protocol import Repository
    from pipeline.manifest import Json

_BLOCK = 1 << 20


async def batch(request: Request) -> JSONResponse:
    """Where to send each object; nothing for one that is stored already, by whichever repository."""
    fields = await json_body(request)
    repository, _ = await run_in_threadpool(writable, request)
    if fields.get("operation") != "upload":
        raise Refusal("the local Hub takes uploads here; downloads go through /resolve/")
    transfers = fields.get("transfers")
    known = transfers if isinstance(transfers, list) else []
    in_parts = "multipart" in known
    chosen = "xet" if "xet" in known else "multipart" if in_parts else "basic"
    hub = served(request)
    verify = f"{hub.address(repository)}.git/info/lfs/objects/verify"
    objects: list[dict[str, Json]] = []
    for wanted in rows(fields, "objects"):
        oid, size = text(wanted, "oid"), number(wanted, "size")
        answer: dict[str, Json] = {"oid": oid, "size": size}
        if hub.store.large_size(oid) is None:
            if chosen == "xet":
                upload = _through_xet(hub, repository)
            else:
                upload = _parts(hub, oid, size) if in_parts and size > hub.part_size else _whole(hub, oid, size)
            answer["actions"] = {"upload": upload, "verify": {"href": verify}}
        objects.append(answer)
    return JSONResponse({"transfer": chosen, "objects": objects})


async def verify(request: Request) -> JSONResponse:
    fields = await json_body(request)
    await run_in_threadpool(writable, request)
    oid, size = text(fields, "oid"), number(fields, "size")
    if served(request).store.large_size(oid) != size:
        raise NotFound(f"no object {oid} of {size} bytes is stored")
    return JSONResponse({})


async def put_whole(request: Request) -> Response:
    """One object in one request, its digest checked before anyone can name it."""
    check_signature(request)
    blobs = served(request).store.blobs
    sha256, size = part(request, "sha256"), int(part(request, "size"))
    with blobs.incoming() as incoming:
        async for block in _blocks(request, size):
            await run_in_threadpool(incoming.write, block)
        if incoming.size != size or incoming.sha256 != sha256:
            raise Refusal(
                f"{incoming.size} bytes with SHA-256 {incoming.sha256} arrived in place of {size} of {sha256}"
            )
        await run_in_threadpool(blobs.keep, incoming)
    return Response(headers={"ETag": f'"{sha256}"'})


async def put_part(request: Request) -> Response:
    check_signature(request)
    blobs = served(request).store.blobs
    upload, offset, length = part(request, "upload"), int(part(request, "offset")), int(part(request, "length"))
    received = 0
    async for block in _blocks(request, length):
        await run_in_threadpool(blobs.write_part, upload, offset + received, block)
        received += len(block)
    if received != length:
        raise Refusal(f"{received} bytes arrived in place of {length}")
    return Response(headers={"ETag": f'"{upload}-{offset}"'})


async def complete(request: Request) -> JSONResponse:
    """All parts have been sent: check the digest of the whole."""
    check_signature(request)
    blobs = served(request).store.blobs
    sha256, size = part(request, "sha256"), int(part(request, "size"))
    await run_in_threadpool(blobs.assemble, part(request, "upload"), sha256, size)
    return JSONResponse({})


def _through_xet(hub: Served, repository: Repository) -> dict[str, Json]:
    """A token to upload with, and where to get the next one."""
    route = f"{hub.endpoint}/api/{repository.kind}s/{repository.id}/xet-write-token/main"
    return {"href": route, "header": {**token_headers(hub, "write")}}


def _whole(hub: Served, oid: str, size: int) -> dict[str, Json]:
    return {"href": hub.files + hub.sign("PUT", f"objects/{oid}/{size}")}


def _parts(hub: Served, oid: str, size: int) -> dict[str, Json]:
    """The addresses of all parts by number, and of the call that ends the upload."""
    upload = uuid.uuid4().hex
    header: dict[str, Json] = {"chunk_size": str(hub.part_size)}
    for index, offset in enumerate(range(0, size, hub.part_size)):
        length = min(hub.part_size, size - offset)
        header[str(index + 1)] = hub.files + hub.sign("PUT", f"parts/{upload}/{offset}/{length}")
    return {"href": hub.endpoint + hub.sign("POST", f"complete/{upload}/{oid}/{size}"), "header": header}


async def _blocks(request: Request, limit: int) -> AsyncIterator[bytearray]:
    """The body in blocks that are worth a hop to a worker thread; `Refusal` once it is longer than `limit`."""
    received = 0
    pending = bytearray()
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise Refusal(f"more than {limit} bytes arrived")
        pending += chunk
        if len(pending) >= _BLOCK:
            yield pending
            pending = bytearray()
    if pending:
        yield pending


hub_routes = [
    Route("/{namespace}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
    Route("/{namespace}/{name}.git/info/lfs/objects/verify", verify, methods=["POST"]),
    Route("/{kind}/{namespace}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
    Route("/{kind}/{namespace}/{name}.git/info/lfs/objects/verify", verify, methods=["POST"]),
    Route("/signed/{signature}/complete/{upload}/{sha256}/{size}", complete, methods=["POST"]),
]

files_routes = [
    Route("/signed/{signature}/objects/{sha256}/{size}", put_whole, methods=["PUT"]),
    Route("/signed/{signature}/parts/{upload}/{offset}/{length}", put_part, methods=["PUT"]),
]
