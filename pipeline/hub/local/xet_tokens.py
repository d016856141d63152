"""Tokens for Xet: the Hub gives out short-lived ones that read or write, the second origin takes no others."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Literal

from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.hub.local.access import part, served, visible, writable
from pipeline.hub.local.refusals import NotAuthenticated, NotInScope
from pipeline.hub.local.xet_address import path as path_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from pipeline.hub.local.access import Served

_SECONDS = 3600


def read_token(request: Request) -> JSONResponse:
    """For whoever may see the repository: without a token, too, when it is public."""
    served(request).store.resolve(visible(request), part(request, "revision"))
    return _token(served(request), "read")


def write_token(request: Request) -> JSONResponse:
    repository, _ = writable(request)
    served(request).store.resolve(repository, part(request, "revision"))
    return _token(served(request), "write")


def check_token(request: Request, *, write: bool = False) -> None:
    """`NotAuthenticated`, so that the client asks for a new one, unless this run of the server gave it out lately."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    scope, _, rest = token.strip().removeprefix("xet_").partition(".")
    expiry, _, signature = rest.partition(".")
    hub = served(request)
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        signature.encode(), _signature(hub, scope, expiry).encode()
    ):
        raise NotAuthenticated("this is no Xet token of this server")
    if int(expiry) < time.time():
        raise NotAuthenticated("the Xet token has expired")
    if write and scope != "write":
        raise NotInScope("the Xet token may only read")


def xet_address(hub: Served) -> str:
    """Where the Xet protocol is spoken; tokens are another matter, and good for one run of the server."""
    return f"{hub.files}/xet/{path_of(hub.store.xet.root)}"


def token_headers(hub: Served, scope: Literal["read", "write"]) -> dict[str, str]:
    """A new token as the client's Python half and the batch of large-file storage have it."""
    expiry = str(int(time.time()) + _SECONDS)
    return {
        "X-Xet-Cas-Url": xet_address(hub),
        "X-Xet-Access-Token": f"xet_{scope}.{expiry}.{_signature(hub, scope, expiry)}",
        "X-Xet-Token-Expiration": expiry,
    }


def _token(hub: Served, scope: Literal["read", "write"]) -> JSONResponse:
    """The client's Python half reads the headers, its Rust half the body."""
    headers = token_headers(hub, scope)
    address, token, expiry = headers.values()
    return JSONResponse({"casUrl": address, "accessToken": token, "exp": int(expiry)}, headers=headers)


def _signature(hub: Served, scope: str, expiry: str) -> str:
    return hub.signature(f"xet {scope} {expiry}")


_REPOSITORY = "/api/{kind}/{namespace}/{name}"

routes = [
    Route(f"{_REPOSITORY}/xet-read-token/{{revision}}", read_token),
    Route(f"{_REPOSITORY}/xet-write-token/{{revision}}", write_token),
]
