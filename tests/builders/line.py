"""A line between a client and the local Hub, on which something can happen to the next answers with bytes of a file."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.hub.local import server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Fault = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]

HUB, STORAGE = "hub", "storage"


@dataclass
class Asked:
    """One request for a file: at which origin, with which headers, and how many bytes of an answer it got."""

    origin: str
    path: str
    headers: dict[str, str]
    sent: int = 0

    @property
    def range(self) -> tuple[int, int] | None:
        """First and last byte."""
        wanted = self.headers.get("range")
        return tuple(map(int, wanted.removeprefix("bytes=").split("-"))) if wanted else None


@dataclass
class Line:
    """faults: what happens to the next requests at each origin, one each; None lets one pass."""

    asked: list[Asked] = field(default_factory=list)
    faults: dict[str, list[Fault | None]] = field(default_factory=lambda: {HUB: [], STORAGE: []})

    def clear(self) -> None:
        self.asked.clear()
        for faults in self.faults.values():
            faults.clear()

    def lay(self, patch: pytest.MonkeyPatch) -> None:
        """Every local Hub that starts from now on is behind this line."""
        for origin, name in ((HUB, "hub_app"), (STORAGE, "files_app")):
            made = getattr(server, name)
            patch.setattr(
                server, name, lambda *a, _made=made, _origin=origin, **k: _Wired(self, _origin, _made(*a, **k))
            )

    def at(self, origin: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.origin == origin]

    @property
    def ranges(self) -> list[tuple[int, int] | None]:
        return [asked.range for asked in self.at(STORAGE)]

    @property
    def sent(self) -> int:
        return sum(asked.sent for asked in self.at(STORAGE))


class _Wired:
    def __init__(self, line: Line, origin: str, app: ASGIApp) -> None:
        self.line, self.origin, self.app = line, origin, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "GET" or not ("/resolve/" in scope["path"] or "/objects/" in scope["path"]):
            await self.app(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = Asked(self.origin, scope["path"], headers)
        self.line.asked.append(asked)
        faults = self.line.faults[self.origin]
        fault = faults.pop(0) if faults else None

        async def counted(message: Message) -> None:
            await send(message)
            asked.sent += len(message.get("body", b""))

        if fault:
            await fault(self.app, scope, receive, counted)
        else:
            await self.app(scope, receive, counted)


def cut(after: int) -> Fault:
    """The connection breaks after so many bytes of the body."""
    return _body(lambda body, at: (body[: max(0, after - at)], at + len(body) >= after))


def flipped(position: int) -> Fault:
    """One bit arrives wrong."""

    def flip(body: bytes, at: int) -> tuple[bytes, bool]:
        changed = bytearray(body)
        if at <= position < at + len(body):
            changed[position - at] ^= 4
        return bytes(changed), False

    return _body(flip)


def slow(per_second: int, block: int = 1 << 16) -> Fault:
    """A connection on which no more than so many bytes a second come."""

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def slowly(message: Message) -> None:
            body, more = message.get("body", b""), message.get("more_body", False)
            if message["type"] == "http.response.start" or not body:
                await send(message)
                return
            for start in range(0, len(body), block):
                last = start + block >= len(body)
                await send({**message, "body": body[start : start + block], "more_body": more or not last})
                await asyncio.sleep(min(block, len(body) - start) / per_second)

        await app(scope, receive, slowly)

    return fault


def stalled(after: int) -> Fault:
    """So many bytes of the body come, and then nothing, for as long as the client waits."""

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        at = 0

        async def until(message: Message) -> None:
            nonlocal at
            body = message.get("body", b"")
            if message["type"] == "http.response.body":
                await send({**message, "body": body[: max(0, after - at)], "more_body": True})
                at += len(body)
                if at >= after:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    raise ConnectionAbortedError
                return
            await send(message)

        with contextlib.suppress(ConnectionAbortedError):
            await app(scope, receive, until)

    return fault


def dripping(after: int) -> Fault:
    """So many bytes of the body come, and then twenty a second, one at a time."""

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        at = 0

        async def drip(message: Message) -> None:
            nonlocal at
            body = message.get("body", b"")
            at, quick = at + len(body), max(0, after - at)
            await send(message if message["type"] == "http.response.start" else {**message, "body": body[:quick]})
            for byte in body[quick:]:
                await asyncio.sleep(0.05)
                await send({**message, "body": bytes([byte]), "more_body": True})

        await app(scope, receive, drip)

    return fault


def answered(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Fault:
    """Something else than the Hub's own answer."""

    async def fault(_app: ASGIApp, _scope: Scope, _receive: Receive, send: Send) -> None:
        raw = [
            (k.lower().encode(), v.encode()) for k, v in {"Content-Length": str(len(body)), **(headers or {})}.items()
        ]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    return fault


def together(count: int) -> Fault:
    """The first so many requests are answered when the last of them is there; without it, with 503."""
    everybody = asyncio.Event()
    came = 0

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal came
        came += 1
        if came == count:
            everybody.set()
        try:
            await asyncio.wait_for(everybody.wait(), 5)
        except TimeoutError:
            await answered(503)(app, scope, receive, send)
        else:
            await app(scope, receive, send)

    return fault


def shorter(by: int) -> Fault:
    """A whole answer with so many bytes less than were asked for."""

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        first, last = headers[b"range"].decode().removeprefix("bytes=").split("-")
        headers[b"range"] = f"bytes={first}-{int(last) - by}".encode()
        await app({**scope, "headers": list(headers.items())}, receive, send)

    return fault


async def without_ranges(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """A server that never heard of ranges: it sends everything, from the start."""
    await app({**scope, "headers": [h for h in scope["headers"] if h[0] != b"range"]}, receive, send)


def _body(change: Callable[[bytes, int], tuple[bytes, bool]]) -> Fault:
    """change: makes of a part of the body, and its offset, what is sent, and whether the connection ends there."""

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        at = 0

        async def changed(message: Message) -> None:
            nonlocal at
            if message["type"] == "http.response.body":
                body, ends = change(message.get("body", b""), at)
                at += len(message.get("body", b""))
                await send({**message, "body": body, "more_body": message.get("more_body", False) or ends})
                if ends:
                    raise ConnectionAbortedError
            else:
                await send(message)

        await app(scope, receive, changed)

    return fault
