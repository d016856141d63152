"""Files, the way down: regular ones from the Hub itself, large ones by a redirect to the second origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.hub.local.access import check_signature, part, served, visible
from pipeline.hub.local.contents import pointer
from pipeline.hub.local.ranges import byte_range
from pipeline.hub.local.refusals import EntryNotFound, NotFound
from pipeline.hub.local.xet_tokens import xet_address

if TYPE_CHECKING:
    from starlette.requests import Request

    from pipeline.hub.local.access import Served
    from pipeline.hub.local.contents import Entry
    from pipeline.hub.protocol import Repository

_XET = "application/vnd.xet-fileinfo+json"
"""What a client accepts that wants the Xet headers of a file and no redirect."""


class _BlobResponse(FileResponse):
    """Ranges and HEAD included; blocks large enough that hops to a worker thread do not limit the rate."""

    chunk_size = 1 << 20


def resolve(request: Request) -> Response:
    """One file at a revision.

    The client reads size and digest from the `X-Linked-*` headers of the redirect, which it would follow, and so lose
    them, if it led to the same origin.
    """
    repository = visible(request)
    hub = served(request)
    commit, entry, headers = _found(request, repository)
    headers["ETag"] = f'"{entry.etag}"'
    if not entry.large:
        return _small(hub, entry, headers)
    headers |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.etag}"'}
    if file := hub.store.xet.with_sha256(entry.sha256):
        headers |= _xet_headers(hub, repository, commit, file.id)
        if _XET in request.headers.get("accept", ""):
            return JSONResponse({"hash": file.id, "size": file.size}, headers=headers, media_type=_XET)
    headers["Location"] = hub.files + hub.sign("GET", f"objects/{entry.sha256}/{entry.size}")
    return Response(status_code=302, headers=headers)


def raw(request: Request) -> Response:
    """One file at a revision as git holds it: of a large one, the pointer that stands for it."""
    _, entry, headers = _found(request, visible(request))
    headers["ETag"] = f'"{entry.oid}"'
    if not entry.large:
        return _small(served(request), entry, headers)
    return Response(pointer(entry.sha256, entry.size), headers=headers, media_type="text/plain")


def _found(request: Request, repository: Repository) -> tuple[str, Entry, dict[str, str]]:
    """Commit, entry and first headers of what is asked for."""
    store = served(request).store
    commit = store.resolve(repository, part(request, "revision"))
    path = part(request, "path")
    entry = store.tree(repository, commit).get(path)
    headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
    if entry is None:
        raise EntryNotFound(f"{path} does not exist on {commit}", headers=headers)
    return commit, entry, headers


def _small(hub: Served, entry: Entry, headers: dict[str, str]) -> Response:
    return _BlobResponse(hub.store.blobs.path(entry.sha256), headers=headers, media_type="text/plain")


def get_object(request: Request) -> Response:
    """The bytes of a large file, for clients with and without Xet, however it was uploaded."""
    check_signature(request)
    sha256 = part(request, "sha256")
    store = served(request).store
    headers = {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"}
    if (path := store.blobs.path(sha256)).exists():
        return _BlobResponse(path, headers=headers, media_type="application/octet-stream")
    file = store.xet.with_sha256(sha256)
    if file is None:
        raise NotFound(f"no object {sha256} is stored")
    asked = byte_range(request.headers.get("range"), file.size)
    start, end = asked or (0, file.size)
    headers["Content-Length"] = str(end - start)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    content = store.xet.read(file, start, end) if request.method == "GET" else ()
    return StreamingResponse(content, 206 if asked else 200, headers, media_type="application/octet-stream")


def _xet_headers(hub: Served, repository: Repository, commit: str, xet_hash: str) -> dict[str, str]:
    """By these a client with Xet learns that it need not follow the redirect."""
    info = f"{xet_address(hub)}/v1/reconstructions/{xet_hash}"
    route = f"{hub.endpoint}/api/{repository.kind}s/{repository.id}/xet-read-token/{commit}"
    return {
        "X-Xet-Hash": xet_hash,
        "X-Xet-Refresh-Route": route,
        "Link": f'<{route}>; rel="xet-auth", <{info}>; rel="xet-reconstruction-info"',
    }


hub_routes = [
    Route("/{namespace}/{name}/raw/{revision}/{path:path}", raw),
    Route("/{kind}/{namespace}/{name}/raw/{revision}/{path:path}", raw),
    Route("/{namespace}/{name}/resolve/{revision}/{path:path}", resolve),
    Route("/{kind}/{namespace}/{name}/resolve/{revision}/{path:path}", resolve),
]

files_routes = [Route("/signed/{signature}/objects/{sha256}/{size}", get_object)]
