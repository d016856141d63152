"""What a request asks for and whether it may: repository, revision, path, account and signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from pipeline.hub.local.refusals import BadSignature, NotAuthenticated, NotFound, ReadOnly, Refusal, RepositoryNotFound
from pipeline.hub.protocol import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from pipeline.hub.local.faults import Faults
    from pipeline.hub.local.store import Store
    from pipeline.manifest import Json

ACCOUNT = "demo"


@dataclass(frozen=True)
class Served:
    """What both origins serve.

    endpoint, files: the addresses of the Hub itself and of the second origin, where large files are.
    tokens: token to account; None takes every token for the account `demo`.
    part_size: larger files are uploaded in parts of this many bytes.
    secret: signs the addresses of uploads and downloads at the second origin, which sees no tokens.
    faults: what goes wrong on purpose, at both.
    """

    store: Store
    endpoint: str
    files: str
    tokens: Mapping[str, str] | None
    part_size: int
    secret: bytes
    faults: Faults

    def address(self, repository: Repository) -> str:
        return f"{self.endpoint}/{repository}"

    def sign(self, method: str, rest: str) -> str:
        """The path under which the holder may send one `method` to `rest` without a token."""
        return f"/signed/{self.signature(f'{method} {rest}')}/{rest}"

    def signature(self, text: str) -> str:
        """Shows that this server, in this run, wrote the text."""
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()


def served(request: Request) -> Served:
    return cast("Served", request.app.state.served)


def account(request: Request) -> str | None:
    """Whose token the request carries; None without one, `NotAuthenticated` with one that nobody has."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return None
    tokens = served(request).tokens
    if tokens is None:
        return ACCOUNT
    if token.strip() not in tokens:
        raise NotAuthenticated("Invalid credentials in Authorization header")
    return tokens[token.strip()]


def known_account(request: Request) -> str:
    name = account(request)
    if name is None:
        raise NotAuthenticated("Invalid username or password.")
    return name


def writing_account(request: Request) -> str:
    """The account of a request that would change something."""
    if served(request).store.readonly:
        raise ReadOnly("this Hub is read-only")
    return known_account(request)


def visible(request: Request) -> Repository:
    """The repository that the path names; a private one does not exist for a request without a token."""
    kind = request.path_params.get("kind", "models")
    if kind not in {"models", "datasets"}:
        raise NotFound(f"the local Hub has models and datasets, no {kind}")
    name = "/".join(unquote(request.path_params[part]) for part in ("namespace", "name"))
    repository = Repository(name, "model" if kind == "models" else "dataset")
    if served(request).store.refs(repository).private and account(request) is None:
        raise RepositoryNotFound(f"Repository not found: {repository}")
    return repository


def writable(request: Request) -> tuple[Repository, str]:
    """The repository that the path names, and the account that may change it."""
    name = writing_account(request)
    return visible(request), name


def part(request: Request, name: str) -> str:
    """A part of the path, decoded: routes match the encoded path because a revision may hold a slash."""
    return unquote(request.path_params[name])


def check_signature(request: Request) -> None:
    """`BadSignature` unless this very method and path were signed by this server."""
    _, _, _, rest = request.scope["path"].split("/", 3)
    method = "GET" if request.method == "HEAD" else request.method
    if not hmac.compare_digest(served(request).sign(method, rest), request.scope["path"]):
        raise BadSignature("the signature of this address is not valid, or from an earlier run of the server")


def flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in {"1", "true"}


async def json_body(request: Request) -> dict[str, Json]:
    return json_object(await request.body())


def json_object(content: bytes) -> dict[str, Json]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise Refusal(f"the request is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal("the request is not a JSON object")
    return value


def text(fields: Mapping[str, Json], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise Refusal(f"{name!r} has to be a text")
    return value


def number(fields: Mapping[str, Json], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refusal(f"{name!r} has to be a number of bytes")
    return value


def rows(fields: Mapping[str, Json], name: str) -> list[dict[str, Json]]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise Refusal(f"{name!r} has to be a list")
    objects = [row for row in value if isinstance(row, dict)]
    if len(objects) != len(value):
        raise Refusal(f"{name!r} has to be a list of objects")
    return objects
