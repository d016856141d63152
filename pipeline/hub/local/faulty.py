"""Carries out what the rules of a bad day say, between the network and every route of the local Hub."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.hub.local.contents import Put
from pipeline.hub.local.garbage import collect
from pipeline.hub.protocol import Repository

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.hub.local.faults import Fault, Faults
    from pipeline.hub.local.store import Store

STRANGER = "somebody-else"
"""The account that commits in between."""
_SLICES = 10  # a second, into which a slow link cuts what it lets through
_REPOSITORY = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+)/")
_QUOTA = "Private repository storage limit reached, please upgrade your plan to increase your private storage limit."
# As the Hub's storage answers when the time of a signed address has run out.
_EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


class Droppable(H11Protocol):
    """Hands `scope["drop"]` to the application: it closes the connection, so that the client hears nothing more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        served: ASGIApp = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await served({**scope, "drop": transport.close}, receive, send)

        self.app = app


class Faulty:
    """The application that is asked when nothing goes wrong, and what happens to a request when something does."""

    def __init__(self, app: ASGIApp, faults: Faults, store: Store) -> None:
        self._app = app
        self._faults = faults
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = unquote(scope["path"])
        fault = self._faults.due(scope["method"], path)
        if fault is None:
            await self._app(scope, receive, send)
            return
        match fault.kind:
            case "status" | "quota" | "expired":
                await _read_all(receive)
                await _answer(fault)(scope, receive, send)
            case "drop":
                await self._drop(fault, scope, receive, send)
            case "stall":
                await asyncio.sleep(fault.seconds)
                await self._app(scope, receive, send)
            case "slow":
                await self._app(scope, _slow_receive(receive, fault.rate), _slow_send(send, fault.rate))
            case "truncated":
                await self._app(scope, receive, _truncated(send, fault.byte))
            case "corrupted":
                await self._app(scope, receive, _corrupted(send, fault.byte))
            case "moved":
                await run_in_threadpool(self._move_head, path, fault.file)
                await self._app(scope, receive, send)
            case "collected":
                await run_in_threadpool(collect, self._store, fault.blobs)
                await self._app(scope, receive, send)

    async def _drop(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.when == "after":
            await self._app(scope, receive, _swallow)
        elif fault.when == "middle":
            length = _content_length(scope["headers"])
            if length:
                await self._app(scope, _half_received(receive, length, scope), _swallow)
            else:
                await self._app(scope, receive, _half_sent(send))
        scope["drop"]()
        while (await receive())["type"] != "http.disconnect":  # uvicorn would answer 500 to one who is still there
            pass

    def _move_head(self, path: str, file: str) -> None:
        """A commit by somebody else to the repository that the path names."""
        found = _REPOSITORY.match(path)
        if not found:
            return
        repository = Repository(found[2], "model" if found[1] == "model" else "dataset")
        content = f"{file}, as somebody else wants it\n".encode()
        entry = self._store.add_regular(file, content)
        self._store.commit(repository, "main", [Put(entry)], message=f"Change {file}", author=STRANGER)


def _answer(fault: Fault) -> Response:
    if fault.kind == "expired":
        return Response(_EXPIRED, status_code=403, media_type="application/xml")
    status, message = (403, _QUOTA) if fault.kind == "quota" else (fault.status, fault.message)
    message = message or "Something went wrong, as it was asked to"
    return JSONResponse(
        {"error": message}, status_code=status, headers={"X-Error-Message": message, **dict(fault.headers)}
    )


async def _read_all(receive: Receive) -> None:
    """A client that is still sending would not see the answer."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
        pass


async def _swallow(_message: Message) -> None:
    pass


def _content_length(headers: list[tuple[bytes, bytes]]) -> int:
    return next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)


def _half_received(receive: Receive, length: int, scope: Scope) -> Receive:
    """The first half of the body, then a client that is gone."""
    received = 0

    async def half() -> Message:
        nonlocal received
        if received * 2 >= length:
            scope["drop"]()
            return {"type": "http.disconnect"}
        message = await receive()
        body = message.get("body", b"")[: length // 2 - received + 1]
        received += len(body)
        return {**message, "body": body, "more_body": True} if message["type"] == "http.request" else message

    return half


def _half_sent(send: Send) -> Send:
    """The head of the answer and half of its body; what comes after that goes nowhere."""
    left = 0

    async def half(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            left = _content_length(message["headers"]) // 2
            await send(message)
        elif left:
            body = bytes(message.get("body", b""))[:left]
            left -= len(body)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    return half


def _slow_receive(receive: Receive, rate: int) -> Receive:
    async def slow() -> Message:
        message = await receive()
        await asyncio.sleep(len(message.get("body", b"")) / rate)
        return message

    return slow


def _slow_send(send: Send, rate: int) -> Send:
    size = max(1, rate // _SLICES)

    async def slow(message: Message) -> None:
        body = bytes(message.get("body", b""))
        while len(body) > size:
            await send({"type": "http.response.body", "body": body[:size], "more_body": True})
            body = body[size:]
            await asyncio.sleep(size / rate)
        await send({**message, "body": body} if message["type"] == "http.response.body" else message)

    return slow


def _truncated(send: Send, byte: int | None) -> Send:
    """A shorter answer that says it is whole."""
    left = 0

    async def shorter(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            length = _content_length(message["headers"])
            left = length // 2 if byte is None else min(byte, length)
            others = [(name, value) for name, value in message["headers"] if name.lower() != b"content-length"]
            await send({**message, "headers": [*others, (b"content-length", b"%d" % left)]})
        else:
            body = bytes(message.get("body", b""))[:left]
            left -= len(body)
            await send({**message, "body": body})

    return shorter


def _corrupted(send: Send, byte: int | None) -> Send:
    """One bit of the body is another."""
    at, sent = 0, 0

    async def flipped(message: Message) -> None:
        nonlocal at, sent
        if message["type"] == "http.response.start":
            at = _content_length(message["headers"]) // 2 if byte is None else byte
        else:
            body = bytearray(message.get("body", b""))
            if sent <= at < sent + len(body):
                body[at - sent] ^= 1
            sent += len(body)
            message = {**message, "body": bytes(body)}
        await send(message)

    return flipped
