from __future__ import annotations

import json
import threading
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.evaluate import chat_client
from pipeline.evaluate.chat_client import Answer, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST = "127.0.0.1"
JSON, EVENTS = "application/json", "text/event-stream"


@pytest.fixture
def answering() -> Iterator[Callable[..., int]]:
    """The port of a server that answers everything in one way."""
    servers = []

    def start(body: bytes, kind: str = JSON, status: int = 200, length: int | None = None) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.do_GET()

            def log_message(self, *_: Any) -> None: ...

        server = HTTPServer((HOST, 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return server.server_address[1]

    requests: list[dict[str, Any]] = []
    start.requests = requests  # type: ignore[attr-defined]
    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def whole(content: str | None = "Hi.", reason: str = "stop", **message: str) -> bytes:
    choice = {"message": {"content": content, **message}, "finish_reason": reason}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 3}}).encode()


def events(*chunks: Any, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b": keepalive 3/3\n\n" + b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + end


def piece(content: str | None, reason: str | None = None) -> dict[str, Any]:
    delta = {"role": "assistant", **({"content": content} if content else {})}
    return {"choices": [{"delta": delta, "finish_reason": reason}]}


USAGE = {"choices": [], "usage": {"completion_tokens": 3}}


def test_a_whole_answer(answering: Callable[..., int]) -> None:
    assert chat_client.ask(HOST, answering(whole()), {"max_tokens": 8}, stream=False) == Answer("Hi.", 3, "stop")
    assert answering.requests == [{"max_tokens": 8, "stream": False}]  # type: ignore[attr-defined]


def test_thoughts_are_part_of_what_is_said(answering: Callable[..., int]) -> None:
    port = answering(whole(None, "length", reasoning="Hm."))
    assert chat_client.ask(HOST, port, {}, stream=False) == Answer("Hm.", 3, "length")


def test_a_streamed_answer(answering: Callable[..., int]) -> None:
    port = answering(events(piece("H"), piece("i."), piece(None, "stop"), USAGE), EVENTS)
    assert chat_client.ask(HOST, port, {}, stream=True) == Answer("Hi.", 3, "stop")
    (asked,) = answering.requests  # type: ignore[attr-defined]
    assert asked == {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b'{"error": "no"}', JSON, 404, 'has status 404: {"error": "no"}'),
        (b"", JSON, 500, "has status 500: Internal Server Error"),
        (b"Hi.", JSON, 200, "is not JSON: 'Hi.'"),
        (b"[]", JSON, 200, "is not a JSON object"),
        (b"{}", JSON, 200, "is not as OpenAI's protocol says: KeyError at 'choices'"),
        (b'{"choices": []}', JSON, 200, "is not as OpenAI's protocol says: IndexError"),
    ],
)
def test_a_whole_answer_that_is_none(
    answering: Callable[..., int], body: bytes, kind: str, status: int, words: str
) -> None:
    with pytest.raises(Malformed) as raised:
        chat_client.ask(HOST, answering(body, kind, status), {}, stream=False)
    assert str(raised.value).startswith(words)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (whole(), JSON, "is application/json, not a stream of events"),
        (events(piece("Hi."), end=b""), EVENTS, "breaks off before it says that it is done"),
        (events(piece("Hi.")), EVENTS, "gives 0 reasons for its end"),
        (events(piece("H", "stop"), piece("i", "stop")), EVENTS, "gives 2 reasons for its end"),
        (events({"error": "no"}), EVENTS, "is not as OpenAI's protocol says: KeyError at 'choices'"),
        (b"data: {\n\n", EVENTS, "is not JSON: '{'"),
    ],
)
def test_a_streamed_answer_that_is_none(answering: Callable[..., int], body: bytes, kind: str, words: str) -> None:
    with pytest.raises(Malformed) as raised:
        chat_client.ask(HOST, answering(body, kind), {}, stream=True)
    assert str(raised.value) == words


def test_an_answer_that_breaks_off_is_the_connection_s_failure(answering: Callable[..., int]) -> None:
    with pytest.raises(HTTPException):
        chat_client.ask(HOST, answering(whole(), length=10_000), {}, stream=False)


def test_models_and_health(answering: Callable[..., int]) -> None:
    assert chat_client.models(HOST, answering(b'{"data": [{"id": "a"}, {"id": "b"}]}')) == ["a", "b"]
    with pytest.raises(Malformed, match="is no list of models"):
        chat_client.models(HOST, answering(b"{}"))
    assert chat_client.is_healthy(HOST, answering(b"{}"))
    assert not chat_client.is_healthy(HOST, answering(b"{}", status=503))


def test_proxies_are_not_used(answering: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert chat_client.is_healthy(HOST, answering(b"{}"))
