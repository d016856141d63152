"""Does it serve? `mlx_lm.server` on the built folder, asked over 127.0.0.1 as a program would, then stopped."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import mlx.core as mx

import pipeline
from pipeline import provenance
from pipeline.errors import NotServed
from pipeline.evaluate import speech
from pipeline.evaluate.chat_client import Answer, Malformed, ask, is_healthy, models
from pipeline.evaluate.chat_template import messages
from pipeline.evaluate.forward import refuse_remote_code
from pipeline.release.server_command import server_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.manifest import Json
    from pipeline.release.evaluated import Prompt

_Result = TypeVar("_Result")
_HOST = "127.0.0.1"
_SECRET = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_", "PIPELINE_SIGNING_", "ACTIONS_ID_TOKEN_")
"""How names begin of what the environment may hold and a base model's own code must not see."""
_PROGRAM = (sys.executable, "-m", "pipeline.evaluate.server")
_LOOK = 0.1  # seconds between two looks at what goes on
_START = 300  # seconds until it listens: it imports a lot, but loads no weights before
_PATIENCE = 3600  # seconds for an answer: the first one waits until the weights are read
_STOP = 10  # seconds between asking it to end and ending it
_LAST_LINES = 12


@dataclass(frozen=True)
class Served:
    """answer: to the question asked plainly; streamed: to the same, as it came in pieces; problems: in words."""

    answer: str
    streamed: str
    problems: tuple[str, ...]


def serve(
    folder: Path, prompt: Prompt, max_tokens: int, *, trust_remote_code: bool, advance: Callable[[int], None]
) -> Served:
    """What the server says to `prompt`, asked twice; `advance` is told of the tokens.

    Raises: NotServed when it does not start or dies, BaseModelError for code that is not trusted, and whatever
    `advance` raises; in every case it is gone then.
    """
    if not trust_remote_code:
        refuse_remote_code(folder)
    _refuse_what_is_too_large(folder)
    gc.collect()
    mx.clear_cache()  # the server needs the memory of earlier measurements
    options: dict[str, Json] = {} if prompt.thinking is None else {"enable_thinking": prompt.thinking}
    request: dict[str, Json] = {
        "messages": [*messages(prompt)],
        "max_tokens": max_tokens,
        "chat_template_kwargs": options,
    }
    with _running(folder, trust_remote_code, advance) as server:
        answer, *problems = _asked(server, request, stream=False)
        streamed, *more = _asked(server, request, stream=True)
    return Served(answer, streamed, (*problems, *more))


def compute() -> dict[str, Json]:
    """How a server on this machine computes: on a GPU in whatever the model is stored in."""
    if mx.default_device() == mx.cpu:
        return {"backend": "cpu", "dtype": "float32"}
    return {"backend": "metal" if mx.metal.is_available() else "cuda"}


def _asked(server: _Server, request: Mapping[str, Json], *, stream: bool) -> tuple[str, ...]:
    """The answer, and what is wrong with it."""
    which = f"the {'streamed' if stream else 'whole'} answer"
    try:
        answer = server.while_it_runs(lambda: ask(_HOST, server.port, request, stream=stream))
    except Malformed as error:
        if not server.while_it_runs(lambda: is_healthy(_HOST, server.port)):
            raise server.dead("cannot run the model") from error
        return "", f"{which} {error}"
    server.advance(answer.tokens)
    return answer.text, *(f"{which} {problem}" for problem in _problems(answer))


def _problems(answer: Answer) -> Iterator[str]:
    # Where it was cut, a character may be incomplete.
    text = answer.text.rstrip("\N{REPLACEMENT CHARACTER}") if answer.finish_reason == "length" else answer.text
    yield from speech.problems(text, [hash(word) for word in text.split()])
    if answer.finish_reason not in {"stop", "length"}:
        yield f"ends for the reason {answer.finish_reason!r}, neither 'stop' nor 'length'"


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    port: int
    said: IO[bytes]
    advance: Callable[[int], None]

    def while_it_runs(self, request: Callable[[], _Result], patience: float = _PATIENCE) -> _Result:
        """The result of `request`; meanwhile it is watched whether the server lives and whether we are to stop."""
        with ThreadPoolExecutor(1) as threads:
            result = threads.submit(request)
            ends = time.monotonic() + patience
            try:
                while not wait([result], _LOOK).done:
                    self.look(ends)
            except BaseException:
                self.stop()  # which ends the request too, so that its thread can be waited for
                raise
        try:
            return result.result()
        except (OSError, HTTPException) as error:
            raise self.dead(f"broke off an answer ({error or type(error).__name__})") from error

    def look(self, ends: float) -> None:
        self.advance(0)
        if self.process.poll() is not None:
            raise self.dead(f"ended with exit code {self.process.returncode}")
        if time.monotonic() > ends:
            raise self.dead("did not answer in time")

    def dead(self, how: str) -> NotServed:
        """The failure, with the last lines that the server wrote."""
        self.stop()
        self.said.seek(0)
        lines = self.said.read().decode("utf-8", "replace").splitlines()[-_LAST_LINES:]
        last = "\n    ".join([", its last words being", *lines]) if lines else " without a word"
        return NotServed(
            f"mlx_lm.server {how}{last}",
            hint="The card tells people to run it. With `evaluate.serve: false` the card says that it was not tried.",
        )

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def _running(folder: Path, trust_remote_code: bool, advance: Callable[[int], None]) -> Iterator[_Server]:
    """A server that listens, and that serves this folder and nothing else."""
    port = _free_port()
    _, *arguments = server_command(str(folder.resolve()), trust_remote_code=trust_remote_code)
    command = [*_PROGRAM, *arguments, "--host", _HOST, "--port", str(port)]
    with (
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryDirectory() as cache,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=_environment(cache),
            cwd=Path(pipeline.__file__).parents[1],  # where it finds us, and not what lies in our user's folder
            start_new_session=True,  # Ctrl-C is for us, and we stop it
        ) as process,
    ):
        server = _Server(process, port, said, advance)
        try:
            _wait_until_it_listens(server, folder)
            yield server
        finally:
            server.stop()


def _wait_until_it_listens(server: _Server, folder: Path) -> None:
    ends = time.monotonic() + _START
    while True:
        server.look(ends)
        with contextlib.suppress(OSError, HTTPException, Malformed):
            served = models(_HOST, server.port)
            break
        time.sleep(_LOOK)
    if str(folder.resolve()) not in served:
        raise server.dead(f"does not answer at port {server.port}, but another program does")


def _environment(cache: str) -> dict[str, str]:
    """Ours, without proxies, tokens and keys, and with nothing to be found or fetched from the Hub."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(_SECRET)
    }
    return {**kept, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": cache, "TIKTOKEN_CACHE_DIR": ""}


def _free_port() -> int:
    with socket.create_server((_HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _refuse_what_is_too_large(folder: Path) -> None:
    """Said before the machine swaps itself to a halt."""
    size, memory = sum(path.stat().st_size for path in folder.glob("*.safetensors")), provenance.machine()["memory"]
    if isinstance(memory, int) and size > memory:
        raise NotServed(
            f"mlx_lm.server needs {size / 1e9:.0f} GB for the weights, and this machine has {memory / 1e9:.0f} GB",
            hint="Set `evaluate.serve: false`: the card then says that serving was not tried.",
        )
