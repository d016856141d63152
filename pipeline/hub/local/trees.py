"""Routes that list files: a tree, and chosen paths."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.hub.local.access import flag, json_object, part, served, visible
from pipeline.hub.local.contents import folders
from pipeline.hub.local.refusals import EntryNotFound

if TYPE_CHECKING:
    from starlette.requests import Request

    from pipeline.hub.local.contents import Commit, Tree
    from pipeline.hub.local.store import Store
    from pipeline.hub.protocol import Repository
    from pipeline.manifest import Json


def list_tree(request: Request) -> JSONResponse:
    """Files and folders below a folder (the root without a path); `?recursive` goes all the way down."""
    repository = visible(request)
    commit = served(request).store.resolve(repository, part(request, "revision"))
    rows = _rows(served(request).store, repository, commit, expand=flag(request, "expand"))
    above = f"{part(request, 'path').strip('/')}/" if "path" in request.path_params else ""
    below = {path: row for path, row in rows.items() if path.startswith(above)}
    if above and not below:
        raise EntryNotFound(f"{above.rstrip('/')} does not exist on {commit}")
    recursive = flag(request, "recursive")
    return JSONResponse([row for path, row in below.items() if recursive or "/" not in path.removeprefix(above)])


async def chosen_paths(request: Request) -> JSONResponse:
    """The asked files and folders that exist; others are left out without an error."""
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/json"):
        fields = json_object(body)
        asked, expand = fields.get("paths"), fields.get("expand") is True
        paths = [str(path) for path in asked] if isinstance(asked, list) else [str(asked)]
    else:
        form = parse_qs(body.decode())
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    return await run_in_threadpool(_chosen, request, paths, expand)


def _chosen(request: Request, paths: list[str], expand: bool) -> JSONResponse:
    repository = visible(request)
    commit = served(request).store.resolve(repository, part(request, "revision"))
    rows = _rows(served(request).store, repository, commit, expand=expand)
    return JSONResponse([rows[path] for path in map(_without_slash, paths) if path in rows])


def _without_slash(path: str) -> str:
    return path.strip("/")


def _rows(store: Store, repository: Repository, commit: str, *, expand: bool) -> dict[str, dict[str, Json]]:
    """Every file and folder of a commit as the Hub describes it, by path."""
    tree = store.tree(repository, commit)
    rows: dict[str, dict[str, Json]] = {}
    for path, oid in folders(tree).items():
        rows[path] = {"type": "directory", "oid": oid, "size": 0, "path": path}
    for path, entry in tree.items():
        rows[path] = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
        if entry.large:
            rows[path]["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
            if file := store.xet.with_sha256(entry.sha256):
                rows[path]["xetHash"] = file.id
    if expand:
        for path, last in _last_changes(store, repository, commit).items():
            rows[path]["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
    return dict(sorted(rows.items()))


def _last_changes(store: Store, repository: Repository, commit: str) -> dict[str, Commit]:
    """The commit that gave every file and folder its present content."""
    present = _oids(store.tree(repository, commit))
    last: dict[str, Commit] = {}
    open_paths = set(present)
    for ancestor in store.history(repository, commit):
        oids = _oids(store.tree(repository, ancestor.id))
        open_paths = {path for path in open_paths if oids.get(path) == present[path]}
        last |= dict.fromkeys(open_paths, ancestor)
        if not open_paths:
            break
    return last


def _oids(tree: Tree) -> dict[str, str]:
    return {**folders(tree), **{path: entry.oid for path, entry in tree.items()}}


_REPOSITORY = "/api/{kind}/{namespace}/{name}"

routes = [
    Route(f"{_REPOSITORY}/tree/{{revision}}", list_tree),
    Route(f"{_REPOSITORY}/tree/{{revision}}/{{path:path}}", list_tree),
    Route(f"{_REPOSITORY}/paths-info/{{revision}}", chosen_paths, methods=["POST"]),
]
