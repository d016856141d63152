"""The two origins as applications: their routes, how a refusal is answered, and the log of requests."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.errors import PipelineError
from pipeline.hub.local import (
    cards,
    commits,
    lfs,
    pages,
    repositories,
    resolve,
    trees,
    xet_downloads,
    xet_tokens,
    xet_uploads,
)
from pipeline.hub.local.faulty import Faulty
from pipeline.hub.local.refusals import AlreadyExists, EntryNotFound, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.hub.local.access import Served

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RequestLine:
    """One request; `received` and `sent` count the bytes of the bodies, status 0 means that nobody heard an answer."""

    method: str
    path: str
    status: int
    received: int
    sent: int


def hub_app(hub: Served, log: Callable[[RequestLine], None]) -> Starlette:
    """The Hub itself."""
    probe = Route("/api/local-hub", _who_serves)
    groups = (
        repositories.routes,
        trees.routes,
        commits.routes,
        cards.routes,
        lfs.hub_routes,
        xet_tokens.routes,
        resolve.hub_routes,
        pages.routes,
    )
    return _app(hub, [probe, *(route for group in groups for route in group)], log)


def files_app(hub: Served, log: Callable[[RequestLine], None]) -> Starlette:
    """The second origin, where large files are."""
    return _app(hub, [*lfs.files_routes, *resolve.files_routes, *xet_uploads.routes, *xet_downloads.routes], log)


def _app(hub: Served, routes: Sequence[BaseRoute], log: Callable[[RequestLine], None]) -> Starlette:
    app = Starlette(
        routes=list(routes),
        # Faults are logged like any answer, and come ahead of every route.
        middleware=[
            Middleware(_RequestLog, log=log),
            Middleware(Faulty, faults=hub.faults, store=hub.store),
            Middleware(_EncodedPath),
        ],
        exception_handlers={
            PipelineError: _refused,
            HTTPException: _not_here,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )
    app.state.served = hub
    return app


class _RequestLog:
    """Counts the bytes of both bodies, and tells `log` before the client can know that there is no more to come."""

    def __init__(self, app: ASGIApp, log: Callable[[RequestLine], None]) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, sent, status, logged = 0, 0, 0, False

        def log() -> None:
            nonlocal logged
            if not logged:
                logged = True
                self._log(RequestLine(scope["method"], scope["path"], status, received, sent))

        def drop() -> None:
            log()
            scope["drop"]()

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def counting_send(message: Message) -> None:
            nonlocal sent, status
            if message["type"] == "http.response.start":
                status = message["status"]
                if (b"content-length", b"0") in message["headers"]:
                    log()  # with these headers the client has all of it
            else:
                sent += len(message.get("body", b""))
                if not message.get("more_body", False):
                    log()
            await send(message)

        try:
            await self._app({**scope, "drop": drop}, counting_receive, counting_send)
        finally:
            log()


class _EncodedPath:
    """Lets routes match the path as it was sent: `refs%2Fpr%2F1` is one part of it, not three."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send)


def _who_serves(_request: Request) -> JSONResponse:
    return JSONResponse({"pid": os.getpid()})


def _refused(_request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refusal) else 400
    message = str(error)
    headers = {"X-Error-Message": " ".join(message.encode("ascii", "replace").decode().split())}
    body = {"error": message}
    if isinstance(error, Refusal) and error.code:
        headers["X-Error-Code"] = error.code
    if isinstance(error, EntryNotFound):
        headers |= error.headers
    if isinstance(error, AlreadyExists) and error.url:
        body["url"] = error.url
    return JSONResponse(body, status_code=status, headers=headers)


def _not_here(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": "Sorry, we can't find the page you are looking for."}, status_code=status)


def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody is left to read it


def _broken(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "Internal Server Error"}, status_code=500)
