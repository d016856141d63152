"""Files, the way down: regular ones from the Hub itself, large ones by a redirect to the second origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pipeline.hub.local.access import check_signature, part, served, visible
from pipeline.hub.local.refusals import EntryNotFound, NotFound

if TYPE_CHECKING:
    from starlette.requests import Request


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
    commit = hub.store.resolve(repository, part(request, "revision"))
    path = part(request, "path")
    entry = hub.store.tree(repository, commit).get(path)
    headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
    if entry is None:
        raise EntryNotFound(f"{path} does not exist on {commit}", headers=headers)
    headers["ETag"] = f'"{entry.etag}"'
    if not entry.large:
        return _BlobResponse(hub.store.blobs.path(entry.sha256), headers=headers, media_type="text/plain")
    headers |= {
        "X-Linked-Size": str(entry.size),
        "X-Linked-ETag": f'"{entry.etag}"',
        "Location": hub.files + hub.sign("GET", f"objects/{entry.sha256}/{entry.size}"),
    }
    return Response(status_code=302, headers=headers)


def get_object(request: Request) -> Response:
    check_signature(request)
    sha256 = part(request, "sha256")
    path = served(request).store.blobs.path(sha256)
    if not path.exists():
        raise NotFound(f"no object {sha256} is stored")
    return _BlobResponse(path, headers={"ETag": f'"{sha256}"'}, media_type="application/octet-stream")


hub_routes = [
    Route("/{namespace}/{name}/resolve/{revision}/{path:path}", resolve),
    Route("/{kind}/{namespace}/{name}/resolve/{revision}/{path:path}", resolve),
]

files_routes = [Route("/signed/{signature}/objects/{sha256}/{size}", get_object)]
