"""Routes about a repository as a whole: who asks, create, delete, what it holds, branches and tags, history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.hub.local.access import (
    flag,
    json_body,
    known_account,
    part,
    served,
    text,
    visible,
    writable,
    writing_account,
)
from pipeline.hub.local.cards import fields as card_fields
from pipeline.hub.local.refusals import AlreadyExists, Refusal
from pipeline.hub.local.store import BRANCH, TAG
from pipeline.hub.protocol import Repository

if TYPE_CHECKING:
    from starlette.requests import Request

    from pipeline.hub.local.contents import Entry, Tree
    from pipeline.hub.local.store import Store
    from pipeline.manifest import Json


def whoami(request: Request) -> JSONResponse:
    name = known_account(request)
    token = {"displayName": "rehearsal", "role": "read" if served(request).store.readonly else "write"}
    return JSONResponse(
        {
            "type": "user",
            "id": name,
            "name": name,
            "fullname": name,
            "isPro": False,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


async def create(request: Request) -> JSONResponse:
    author = writing_account(request)
    fields = await json_body(request)
    repository = _named(fields, author)
    private = fields.get("private") is True or fields.get("visibility", "public") != "public"
    url = served(request).address(repository)
    try:
        await run_in_threadpool(served(request).store.create, repository, private=private, author=author)
    except AlreadyExists as error:
        raise AlreadyExists(str(error), url=url) from None
    return JSONResponse({"url": url, "name": repository.id, "id": repository.id})


async def delete(request: Request) -> JSONResponse:
    repository = _named(await json_body(request), writing_account(request))
    await run_in_threadpool(served(request).store.delete, repository)
    return JSONResponse({})


async def change_settings(request: Request) -> JSONResponse:
    """Only the visibility; other settings mean nothing here."""
    repository, _ = writable(request)
    fields = await json_body(request)
    private = fields.get("private") is True or fields.get("visibility", "public") != "public"
    await run_in_threadpool(served(request).store.set_private, repository, private=private)
    return JSONResponse({"private": private})


def revision_summary(request: Request) -> JSONResponse:
    """The repository at a revision, as `repo_info` shows it; `?blobs=true` adds sizes and digests."""
    repository = visible(request)
    store = served(request).store
    refs = store.refs(repository)
    commit = store.resolve(repository, part(request, "revision") if "revision" in request.path_params else "main")
    tree = store.tree(repository, commit)
    files = tree.values()
    card = _card(store, tree)
    return JSONResponse(
        {
            "_id": repository.id,
            "id": repository.id,
            "author": repository.id.partition("/")[0],
            "sha": commit,
            "lastModified": store.commit_at(repository, commit).date,
            "createdAt": refs.created,
            "private": refs.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": card.get("tags") or [],
            "cardData": card,
            **{key: card[key] for key in ("library_name", "pipeline_tag") if key in card},
            "siblings": [_sibling(entry, blobs=flag(request, "blobs")) for entry in files],
            "usedStorage": sum(entry.size for entry in files),
        }
    )


def may_read(request: Request) -> JSONResponse:
    visible(request)
    return JSONResponse({})


def may_write(request: Request) -> JSONResponse:
    writable(request)
    return JSONResponse({})


def list_refs(request: Request) -> JSONResponse:
    refs = served(request).store.refs(visible(request))
    return JSONResponse(
        {
            "branches": _ref_rows(BRANCH, refs.branches),
            "tags": _ref_rows(TAG, refs.tags),
            "converts": [],
            "pullRequests": [],
        }
    )


async def create_branch(request: Request) -> JSONResponse:
    fields = await json_body(request)
    starting_point = text({"startingPoint": "main", **fields}, "startingPoint")
    return await run_in_threadpool(_create_ref, request, BRANCH + part(request, "branch"), starting_point)


async def create_tag(request: Request) -> JSONResponse:
    fields = await json_body(request)
    return await run_in_threadpool(_create_ref, request, TAG + text(fields, "tag"), part(request, "revision"))


def delete_branch(request: Request) -> JSONResponse:
    repository, _ = writable(request)
    served(request).store.delete_ref(repository, BRANCH + part(request, "branch"))
    return JSONResponse({})


def delete_tag(request: Request) -> JSONResponse:
    repository, _ = writable(request)
    served(request).store.delete_ref(repository, TAG + part(request, "revision"))
    return JSONResponse({})


def list_commits(request: Request) -> JSONResponse:
    repository = visible(request)
    store = served(request).store
    commits = list(store.history(repository, store.resolve(repository, part(request, "revision"))))
    return JSONResponse(
        [
            {
                "id": commit.id,
                "title": commit.title,
                "message": commit.description,
                "authors": [{"user": commit.author}],
                "date": commit.date,
            }
            for commit in commits
        ],
        headers={"X-Total-Count": str(len(commits))},
    )


def _create_ref(request: Request, ref: str, revision: str) -> JSONResponse:
    repository, _ = writable(request)
    store = served(request).store
    store.create_ref(repository, ref, store.resolve(repository, revision))
    return JSONResponse({})


def _named(fields: dict[str, Json], owner: str) -> Repository:
    """The repository that the body of a create or a delete names; without an organization it is the account's."""
    kind = fields.get("type") or "model"
    if kind not in {"model", "dataset"}:
        raise Refusal(f"the local Hub has models and datasets, no {kind}s")
    namespace = text(fields, "organization") if fields.get("organization") else owner
    return Repository(f"{namespace}/{text(fields, 'name')}", "model" if kind == "model" else "dataset")


def _card(store: Store, tree: Tree) -> dict[str, Json]:
    """The front matter of a revision's card; nothing of one that is in large-file storage."""
    entry = tree.get("README.md")
    if entry is None or entry.large:
        return {}
    return card_fields(store.blobs.path(entry.sha256).read_text("utf-8", "replace"))


def _sibling(entry: Entry, *, blobs: bool) -> dict[str, Json]:
    row: dict[str, Json] = {"rfilename": entry.path}
    if blobs:
        row |= {"size": entry.size, "blobId": entry.oid}
        if entry.large:
            row["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
    return row


def _ref_rows(prefix: str, names: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "ref": prefix + name, "targetCommit": commit} for name, commit in sorted(names.items())]


_REPOSITORY = "/api/{kind}/{namespace}/{name}"

routes = [
    Route("/api/whoami-v2", whoami),
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", delete, methods=["DELETE"]),
    Route(_REPOSITORY, revision_summary),
    Route(f"{_REPOSITORY}/revision/{{revision}}", revision_summary),
    Route(f"{_REPOSITORY}/settings", change_settings, methods=["PUT"]),
    Route(f"{_REPOSITORY}/auth-check", may_read),
    Route(f"{_REPOSITORY}/auth-check/write", may_write),
    Route(f"{_REPOSITORY}/refs", list_refs),
    Route(f"{_REPOSITORY}/commits/{{revision}}", list_commits),
    Route(f"{_REPOSITORY}/branch/{{branch}}", create_branch, methods=["POST"]),
    Route(f"{_REPOSITORY}/branch/{{branch}}", delete_branch, methods=["DELETE"]),
    Route(f"{_REPOSITORY}/tag/{{revision}}", create_tag, methods=["POST"]),
    Route(f"{_REPOSITORY}/tag/{{revision}}", delete_tag, methods=["DELETE"]),
]
