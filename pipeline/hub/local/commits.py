"""Routes of a commit: which way each file goes, and the commit itself, read line by line."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.hub.local.access import flag, json_body, json_object, number, part, rows, served, text, writable
from pipeline.hub.local.attributes import is_large
from pipeline.hub.local.contents import Put, Remove, large_entry
from pipeline.hub.local.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from pipeline.hub.local.store import Store
    from pipeline.manifest import Json


async def upload_modes(request: Request) -> JSONResponse:
    """For every file whether it goes to large-file storage, and the digest of what the revision holds at its path."""
    fields = await json_body(request)
    return await run_in_threadpool(_upload_modes, request, rows(fields, "files"))


def _upload_modes(request: Request, files: list[dict[str, Json]]) -> JSONResponse:
    repository, _ = writable(request)
    store = served(request).store
    tree = store.tree(repository, store.resolve(repository, part(request, "revision")))
    answers: list[dict[str, Json]] = []
    for file in files:
        path = text(file, "path")
        large = is_large(path, number(file, "size"))
        oid = tree[path].etag if path in tree else None
        answers.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
    return JSONResponse({"files": answers})


async def commit(request: Request) -> JSONResponse:
    """One atomic commit from lines of JSON: a header, then operations in the order in which they apply."""
    repository, author = await run_in_threadpool(writable, request)
    if flag(request, "create_pr"):
        raise Refusal("the local Hub has no pull requests")
    store = served(request).store
    header: dict[str, Json] = {}
    operations: list[Put | Remove] = []
    missing: list[str] = []
    async for line in _lines(request):
        item = json_object(line)
        value = item.get("value")
        if not isinstance(value, dict):
            raise Refusal("'value' has to be an object")
        if item.get("key") == "header":
            header = value
        elif (operation := await run_in_threadpool(_operation, store, text(item, "key"), value)) is not None:
            operations.append(operation)
        else:
            missing.append(text(value, "path"))
    if missing:
        raise Refusal(
            "Your push was rejected because an LFS pointer pointed to a file that does not exist. For instance, this "
            "can happen if you used git push --no-verify to push your changes.\nOffending file: "
            + "".join(f"\n- {path}" for path in missing)
        )
    oid = await run_in_threadpool(
        store.commit,
        repository,
        part(request, "revision"),
        operations,
        message=_message(header),
        author=author,
        parent=text(header, "parentCommit") if header.get("parentCommit") else None,
    )
    address = f"{served(request).address(repository)}/commit/{oid}"
    return JSONResponse({"success": True, "commitOid": oid, "commitUrl": address, "hookOutput": ""})


def _operation(store: Store, key: str, value: dict[str, Json]) -> Put | Remove | None:
    """What a line asks for, bytes of regular files stored; None when the bytes it points to are not there."""
    path = text(value, "path")
    match key:
        case "file":
            content = text(value, "content")
            try:
                decoded = base64.b64decode(content, validate=True) if value.get("encoding") == "base64" else None
            except binascii.Error as error:
                raise Refusal(f"the content of {path} is not base64: {error}") from None
            return Put(store.add_regular(path, content.encode() if decoded is None else decoded))
        case "lfsFile":
            oid = text(value, "oid")
            size = store.large_size(oid)
            if size is None or ("size" in value and number(value, "size") != size):
                return None
            return Put(large_entry(path, size, oid))
        case "deletedFile" | "deletedFolder":
            return Remove(path, folder=key == "deletedFolder")
        case _:
            raise Refusal(f"the local Hub knows no commit operation {key!r}")


def _message(header: dict[str, Json]) -> str:
    if "summary" not in header:
        raise Refusal("a commit starts with a header that has a 'summary'")
    return f"{text(header, 'summary')}\n\n{text({'description': '', **header}, 'description')}".strip()


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """The lines of the body as they arrive, so that no more than one is in memory."""
    pending = bytearray()
    async for chunk in request.stream():
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            pending += line
            if pending.strip():
                yield bytes(pending)
            pending = bytearray()
        pending += rest
    if pending.strip():
        yield bytes(pending)


_REPOSITORY = "/api/{kind}/{namespace}/{name}"

routes = [
    Route(f"{_REPOSITORY}/preupload/{{revision}}", upload_modes, methods=["POST"]),
    Route(f"{_REPOSITORY}/commit/{{revision}}", commit, methods=["POST"]),
]
