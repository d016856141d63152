"""Asks a server that speaks OpenAI's protocol, whole or streamed, and takes no answer that is otherwise."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.manifest import Json

_SHOWN = 300
_AT_ONCE = 10  # seconds for what needs no model


class Malformed(Exception):
    """The answer is an error or not as the protocol says; continues the sentence "the answer ..."."""


@dataclass(frozen=True)
class Answer:
    """text: what was thought and what was said; tokens: how many."""

    text: str
    tokens: int
    finish_reason: str


def models(host: str, port: int) -> list[str]:
    """The names of the models that the server has. `OSError` or `HTTPException` while it does not listen."""
    with _responding(host, port, "GET", "/v1/models", timeout=_AT_ONCE) as response:
        _refuse_errors(response)
        listed = _read(response.read())
    try:
        return [str(model["id"]) for model in listed["data"]]
    except (KeyError, TypeError) as error:
        raise Malformed("is no list of models") from error


def is_healthy(host: str, port: int) -> bool:
    """What mlx_lm.server says of itself: it goes on listening when its model could not be loaded."""
    with _responding(host, port, "GET", "/health", timeout=_AT_ONCE) as response:
        return response.status == 200


def ask(host: str, port: int, request: Mapping[str, Json], *, stream: bool) -> Answer:
    """Waits as long as it takes. `Malformed`, or `OSError` or `HTTPException` when the server breaks off."""
    asked = {**request, "stream": stream, **({"stream_options": {"include_usage": True}} if stream else {})}
    with _responding(host, port, "POST", "/v1/chat/completions", json.dumps(asked)) as response:
        _refuse_errors(response)
        try:
            return _streamed(response) if stream else _whole(_read(response.read()))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise Malformed(f"is not as OpenAI's protocol says: {type(error).__name__} at {error}") from error


@contextlib.contextmanager
def _responding(
    host: str, port: int, method: str, path: str, body: str | None = None, *, timeout: float | None = None
) -> Iterator[HTTPResponse]:
    with contextlib.closing(HTTPConnection(host, port, timeout=timeout)) as connection:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            yield response


def _whole(answer: dict[str, Any]) -> Answer:
    choice = answer["choices"][0]
    return Answer(_text(choice["message"]), int(answer["usage"]["completion_tokens"]), str(choice["finish_reason"]))


def _streamed(response: HTTPResponse) -> Answer:
    text, tokens, reasons = "", 0, []
    for chunk in _chunks(response):
        for choice in chunk["choices"]:
            text += _text(choice["delta"])
            reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
        tokens = int(chunk["usage"]["completion_tokens"]) if chunk.get("usage") else tokens
    if len(reasons) != 1:
        raise Malformed(f"gives {len(reasons)} reasons for its end")
    return Answer(text, tokens, str(reasons[0]))


def _chunks(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    """The data of server-sent events, up to the one that says that it is done."""
    kind = response.headers.get_content_type()
    if kind != "text/event-stream":
        raise Malformed(f"is {kind}, not a stream of events")
    for line in response:
        if line.startswith(b"data:"):
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            yield _read(data)
    raise Malformed("breaks off before it says that it is done")


def _text(message: Mapping[str, Any]) -> str:
    return (message.get("reasoning") or "") + (message.get("content") or "")


def _refuse_errors(response: HTTPResponse) -> None:
    if response.status != 200:
        said = response.read().decode("utf-8", "replace").strip()
        raise Malformed(f"has status {response.status}: {said[:_SHOWN] or response.reason}")


def _read(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Malformed(f"is not JSON: {body[:_SHOWN].decode('utf-8', 'replace')!r}") from error
    if not isinstance(content, dict):
        raise Malformed("is not a JSON object")
    return content
