from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import provenance
from pipeline.errors import BaseModelError, Interrupted, NotServed
from pipeline.evaluate import serving
from pipeline.release.evaluated import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HELLO = Prompt(ask="Hello?")
# Listens as mlx_lm.server does, and answers questions with what a test puts in place of ANSWER.
STAND_IN = """
import json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
folder, port = (sys.argv[sys.argv.index(name) + 1] for name in ("--model", "--port"))
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.say(200, {"data": [{"id": folder}]})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ANSWER
    def say(self, status, value):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())
HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Every server that a test starts; in the end none may be left, and nobody may listen where it did."""
    processes: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(popen(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(serving.subprocess, "Popen", start)
    yield processes
    assert processes
    for process in processes:
        assert process.poll() is not None
        assert not listens(int(process.args[-1]))  # type: ignore[call-overload, index]


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Puts another program in the place of the server's; answers are what it does with `asked`, and `self.say`."""

    def make(answer: str = "", program: str = STAND_IN) -> Path:
        monkeypatch.setattr(serving, "_PROGRAM", (sys.executable, "-c", program.replace("ANSWER", answer)))
        return tmp_path

    return make


def ask(folder: Path, advance: Callable[[int], None] = lambda _: None, **options: Any) -> serving.Served:
    return serving.serve(folder, HELLO, 8, **{"trust_remote_code": False, "advance": advance, **options})


def test_a_trained_model_answers_whole_and_streamed(smollm2_base: Path, started: list[Any]) -> None:
    told: list[int] = []
    capital = Prompt(ask="What is the capital of France?")
    found = serving.serve(smollm2_base, capital, 32, trust_remote_code=False, advance=told.append)
    assert found == serving.Served("The capital of France is Paris.", "The capital of France is Paris.", ())
    assert sum(told) == 2 * 8
    assert len(started) == 1


def test_random_weights_are_served_and_do_not_speak(random_model: Callable[..., Path], started: list[Any]) -> None:
    found = ask(random_model("mixtral", group_size=32, bits=4))
    whole, streamed = found.problems
    assert whole.startswith("the whole answer ")
    assert streamed == whole.replace("whole", "streamed")
    assert found.answer == found.streamed != ""


def test_a_model_that_does_not_load_is_told_in_the_server_s_words(
    random_model: Callable[..., Path], copy: Callable[[Path], Path], started: list[Any]
) -> None:
    folder = copy(random_model())
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-architecture"}))
    with pytest.raises(NotServed, match=r"cannot run the model(.|\n)*no-such-architecture not supported") as raised:
        ask(folder)
    assert "serve: false" in raised.value.hint


def test_a_server_that_dies_at_the_start_is_told_with_its_last_words(
    stand_in: Callable[..., Path], started: list[Any]
) -> None:
    folder = stand_in(program="import sys; print(*range(99), sep='\\n', file=sys.stderr); sys.exit('out of memory')")
    with pytest.raises(NotServed, match="ended with exit code 1") as raised:
        ask(folder)
    lines = str(raised.value).splitlines()
    assert lines[-2:] == ["    98", "    out of memory"]
    assert len(lines) == 13


def test_a_server_that_dies_over_a_question_is_told(stand_in: Callable[..., Path], started: list[Any]) -> None:
    folder = stand_in("print('Killed', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NotServed, match=r"(broke off an answer|exit code -9)(.|\n)*Killed"):
        ask(folder)


def test_an_error_is_a_problem_in_the_server_s_words(stand_in: Callable[..., Path], started: list[Any]) -> None:
    found = ask(stand_in('self.say(500, {"error": "no room"})'))
    said = 'answer has status 500: {"error": "no room"}'
    assert found == serving.Served("", "", (f"the whole {said}", f"the streamed {said}"))


def test_an_answer_that_ends_for_no_known_reason_is_a_problem(
    stand_in: Callable[..., Path], started: list[Any]
) -> None:
    choice = '{"message": {"content": "Hi."}, "finish_reason": "error"}'
    found = ask(stand_in(f'self.say(200, {{"choices": [{choice}], "usage": {{"completion_tokens": 3}}}})'))
    assert found.answer == "Hi."
    assert found.problems == (
        "the whole answer ends for the reason 'error', neither 'stop' nor 'length'",
        "the streamed answer is text/plain, not a stream of events",
    )


def test_a_character_that_was_cut_is_no_fault() -> None:
    cut, whole = (serving.Answer("Olá \ufffd", 8, reason) for reason in ("length", "stop"))
    assert list(serving._problems(cut)) == []
    assert list(serving._problems(whole)) == ["has 1 characters that are no text"]


@pytest.mark.parametrize("failure", [Interrupted("stopped"), KeyboardInterrupt()])
def test_interrupted_in_the_middle_of_an_answer_it_leaves_nothing(
    stand_in: Callable[..., Path], started: list[Any], failure: BaseException, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    folder = stand_in(f"open({str(asked)!r}, 'w').close(); time.sleep(600)")

    def advance(_: int) -> None:
        if asked.exists():
            raise failure

    with pytest.raises(type(failure)):
        ask(folder, advance)


def test_a_server_that_does_not_want_to_end_is_ended(
    stand_in: Callable[..., Path], started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_STOP", 0.2)
    ignoring = STAND_IN.replace("class Handler", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nclass Handler")
    ask(stand_in('self.say(500, {"error": "no"})', ignoring))
    assert started[0].returncode == -9


def test_a_server_that_says_nothing_is_not_waited_for_without_end(
    stand_in: Callable[..., Path], started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_START", 0.5)
    with pytest.raises(NotServed, match="did not answer in time without a word"):
        ask(stand_in(program="import time; time.sleep(600)"))


def test_another_program_at_the_port_is_not_taken_for_the_server(
    stand_in: Callable[..., Path], started: list[Any]
) -> None:
    folder = stand_in(program=STAND_IN.replace('{"id": folder}', '{"id": "another"}'))
    with pytest.raises(NotServed, match="another program does"):
        ask(folder)


@pytest.mark.parametrize("trusted", [False, True])
def test_it_is_the_command_of_the_card_without_network_proxies_or_token(
    stand_in: Callable[..., Path], started: list[Any], monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    secret = ("HF_TOKEN", "https_proxy", "ALL_PROXY", "PIPELINE_SIGNING_PASSPHRASE", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    for name in secret:
        monkeypatch.setenv(name, "http://10.0.0.1:3128")
    folder = stand_in(program="import json, os, sys; sys.exit(json.dumps([sys.argv[1:], dict(os.environ)]))")
    with pytest.raises(NotServed) as raised:
        ask(folder, trust_remote_code=trusted)
    arguments, environment = json.loads(str(raised.value).splitlines()[-1])
    *card, host, address, _, port = arguments
    assert card == ["--model", str(folder.resolve()), *(["--trust-remote-code"] if trusted else [])]
    assert (host, address) == ("--host", "127.0.0.1")
    assert int(port) > 1024
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert not set(secret) & set(environment)


def test_code_that_is_not_trusted_is_refused_before_it_could_run(tiny_kimi_base: Path) -> None:
    with pytest.raises(BaseModelError, match="code of its own"):
        ask(tiny_kimi_base)


def test_a_model_larger_than_the_memory_is_not_even_tried(
    random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "machine", lambda: {"memory": 1000})
    with pytest.raises(NotServed, match="needs 0 GB for the weights") as raised:
        ask(random_model())
    assert "serve: false" in raised.value.hint


def test_when_we_are_killed_the_server_ends_too(random_model: Callable[..., Path]) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from pipeline.evaluate import serving
        with serving._running(Path(sys.argv[1]), trust_remote_code=False, advance=lambda _: None) as server:
            print(server.port, flush=True)
            time.sleep(600)
        """
    command = [sys.executable, "-c", textwrap.dedent(program), str(random_model())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        assert listens(port)
        process.kill()
    ends = time.monotonic() + 10
    while listens(port):
        assert time.monotonic() < ends, "it still listens"
        time.sleep(0.05)


def test_our_user_s_folder_is_not_imported_from(
    random_model: Callable[..., Path], started: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "transformers.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert ask(shutil.copytree(random_model(), tmp_path / "model")).answer
