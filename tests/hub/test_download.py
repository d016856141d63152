"""A base file on its way here, over lines that break, stall and lie: the bytes are right, and few come twice."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import line
import pytest

from pipeline.errors import HubError, HubRefused, Interrupted
from pipeline.hub import deadline, download, remote, retry
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.partial import PIECE
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.retry import Patient
from pipeline.manifest import describe

MODEL = Repository("demo/model")
CONTENT = random.Random(6).randbytes(24 * PIECE - 1000)
LARGE, SMALL, TEXT, EMPTY = "large.safetensors", "small.safetensors", "notes.txt", "empty.txt"
CONTENTS = {LARGE: CONTENT, SMALL: CONTENT[: 3 * PIECE + 5], TEXT: b"hello", EMPTY: b""}
HALF = PIECE // 2


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """A local Hub behind a line, and the files that it holds."""
    folder, wire = tmp_path_factory.mktemp("behind"), line.Line()
    with pytest.MonkeyPatch.context() as patch:
        wire.lay(patch)
        with LocalHub(folder / "hub") as server:
            hub = HuggingFace(server.endpoint, "token")
            hub.create(MODEL)
            for name, content in CONTENTS.items():
                (folder / name).write_bytes(content)
            uploads = [Upload(folder / name, describe(folder / name, name)) for name in CONTENTS]
            hub.commit(MODEL, uploads, [], parent=hub.head(MODEL), message="first")
            yield server, wire, {file.path: file for file in hub.manifest(MODEL, "main")}


@pytest.fixture
def wire(behind):
    behind[1].clear()
    return behind[1]


@pytest.fixture
def storage(wire):
    """What happens to the next requests for bytes of large files."""
    return wire.faults[line.STORAGE]


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch):
    monkeypatch.setattr(download, "STRETCH", 4)


class Told:
    def __init__(self):
        self.new, self.resumed = 0, 0

    def __call__(self, amount, /, *, resumed=False):
        if resumed:
            self.resumed += amount
        else:
            self.new += amount


@pytest.fixture
def fetch(behind, tmp_path):
    """Download a file as a new process would, and answer what was told; `patient` with retries."""
    server, _, files = behind

    def fetch(name=LARGE, told=None, *, patient=0, seconds=1800):
        hub = HuggingFace(server.endpoint, "token")
        hub = Patient(hub, attempts=patient, seconds=seconds, longest_wait=0) if patient else hub
        told = told or Told()
        hub.download(MODEL, "main", files[name], tmp_path / name, told)
        assert (tmp_path / name).read_bytes() == CONTENTS[name]
        assert beside(tmp_path) == []
        return told

    return fetch


def beside(folder):
    """What is left of downloads that are not finished."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def span(first, stop):
    """The bytes of pieces, as a range says it."""
    return first * PIECE, min(stop * PIECE, len(CONTENT)) - 1


@pytest.mark.parametrize("name", CONTENTS)
def test_every_kind_of_file_comes_whole_and_is_counted_once(fetch, name):
    told = fetch(name)
    assert (told.new, told.resumed) == (len(CONTENTS[name]), 0)


def test_a_large_file_comes_on_several_connections_at_once(fetch, wire, storage):
    storage += [line.together(download.CONNECTIONS)] * download.CONNECTIONS
    fetch()
    assert sorted(wire.ranges) == [span(first, first + 4) for first in range(0, 24, 4)]
    assert len(wire.at(line.HUB)) <= download.CONNECTIONS, "the others know the address of the first"
    wire.clear()
    fetch(SMALL)
    assert wire.ranges == [None]


def test_after_kill_9_only_what_is_missing_is_asked_for(behind, fetch, wire, storage, tmp_path):
    """Four connections bring two and a half pieces each and stall; then the process is killed."""
    server, _, files = behind
    storage += [line.stalled(after=2 * PIECE + HALF)] * 4
    program = f"""
        from pathlib import Path
        from pipeline.hub import download
        from pipeline.hub.huggingface import HuggingFace
        from pipeline.hub.protocol import Repository
        from pipeline.manifest import File
        download.STRETCH = 4
        hub = HuggingFace({server.endpoint!r}, "token")
        target = Path({str(tmp_path / LARGE)!r})
        hub.download(Repository("demo/model"), "main", {files[LARGE]!r}, target, lambda *_: None)
    """
    lines = tmp_path / f".{LARGE}.part.pieces"
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)]) as process:
        while process.poll() is None and not (lines.exists() and lines.read_text().count("\n") == 1 + 8):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / LARGE).exists()
    wire.clear()
    told = fetch()
    assert sorted(wire.ranges) == [span(2, 4), span(6, 8), span(10, 12), span(14, 18), span(18, 22), span(22, 24)]
    assert (told.new, told.resumed) == (len(CONTENT) - 8 * PIECE, 8 * PIECE)
    assert wire.sent == told.new


def test_a_broken_connection_loses_less_than_a_piece_and_the_others_nothing(fetch, wire, storage):
    storage += [line.cut(PIECE + HALF)]
    with pytest.raises(HubError, match="the connection failed") as caught:
        fetch()
    assert not isinstance(caught.value, HubRefused)
    had = wire.sent
    wire.clear()
    told = fetch()
    # The other three finish the piece that they are at; what the server had sent beyond it was never read.
    assert told.resumed >= PIECE
    assert told.resumed <= had
    assert wire.sent == len(CONTENT) - told.resumed


def test_where_one_connection_is_refused_the_others_stop_after_the_piece_they_are_at(fetch, storage, wire):
    storage += [line.answered(503), *[line.slow(2 * PIECE)] * 5]
    with pytest.raises(HubError, match="503"):
        fetch()
    asked = len(wire.ranges)
    assert 1 <= asked <= 4, "the other two runs were never asked for"
    wire.clear()
    assert fetch().resumed == (asked - 1) * PIECE


def test_patience_begins_anew_whenever_bytes_came(fetch, storage):
    storage += [line.cut(PIECE + HALF)] * 10
    told = fetch(SMALL, patient=2)
    assert (told.new, told.resumed) == (len(CONTENTS[SMALL]), 0), "what this process fetched itself is not resumed"


def test_patience_ends_when_nothing_comes(fetch, storage, wire):
    storage += [line.cut(PIECE + HALF), *[line.cut(HALF)] * 20]
    with pytest.raises(HubError, match="the connection failed"):
        fetch(SMALL, patient=3)
    assert len(wire.ranges) <= 3 + 3


def test_a_server_that_drips_is_given_up_and_only_what_is_missing_is_asked_for(fetch, storage, wire, monkeypatch):
    """A byte now and then: a connection that is never silent, and would never end."""
    monkeypatch.setattr(remote, "_TIMEOUT", None)
    monkeypatch.setattr(deadline, "SILENCE", 1)
    storage += [line.dripping(PIECE + HALF)]
    with pytest.raises(HubError, match=f"cannot read {SMALL} of demo/model: there was no answer within 1 s") as caught:
        fetch(SMALL)
    assert not isinstance(caught.value, HubRefused)
    wire.clear()
    told = fetch(SMALL)
    assert told.resumed == PIECE
    assert wire.ranges == [(PIECE, len(CONTENTS[SMALL]) - 1)]


def test_it_is_given_up_while_the_head_of_an_answer_drips_too(scripted, monkeypatch):
    monkeypatch.setattr(remote, "_ANSWER", 0.5)
    scripted.answers = [(200, {f"X-{number}": "a" for number in range(100)}, b"")]
    handler = scripted.RequestHandlerClass
    monkeypatch.setattr(handler, "send_header", lambda self, *_: (self.wfile.write(b"A: b\r\n"), time.sleep(0.1)))
    monkeypatch.setattr(handler, "send_response", lambda self, _: self.wfile.write(b"HTTP/1.1 200 OK\r\n"))
    with pytest.raises(HubError, match=f"cannot read {SMALL} of demo/model: there was no answer"):
        HuggingFace(scripted.endpoint, "token").read(MODEL, "main", SMALL, 0, 5)


def test_bytes_that_come_but_too_slowly_end_too_and_what_came_is_kept(fetch, storage, wire, monkeypatch):
    monkeypatch.setattr(deadline, "SILENCE", 1.5)
    monkeypatch.setattr(deadline, "SLOWEST", 1e9)
    storage += [line.slow(2 * PIECE)] * 20
    with pytest.raises(HubError, match=f"cannot read {LARGE} of demo/model: there was no answer within [12] s"):
        fetch()
    storage.clear()
    assert fetch().resumed >= PIECE


def test_patience_with_what_is_too_slow_ends_although_bytes_come(fetch, storage, wire, monkeypatch):
    monkeypatch.setattr(retry, "SLOWEST", 1e9)
    storage += [line.cut(PIECE + HALF)] * 20
    with pytest.raises(HubError, match="the connection failed"):
        fetch(SMALL, patient=1, seconds=0)
    assert len(wire.ranges) == 1


@pytest.mark.parametrize("by", [HALF, 2 * PIECE + HALF])
def test_an_answer_that_is_too_short_is_gone_on_with(fetch, storage, wire, by):
    storage += [line.shorter(by)]
    with pytest.raises(HubError, match=f"the connection ended after [0-9]+ of {len(CONTENT)} bytes of {LARGE}"):
        fetch()
    wire.clear()
    told = fetch()
    assert told.resumed >= PIECE
    assert wire.sent == told.new == len(CONTENT) - told.resumed


@pytest.mark.parametrize("name", [LARGE, SMALL, TEXT])
def test_a_bit_that_flips_on_the_way_costs_the_file_once_more(fetch, wire, tmp_path, name):
    wire.faults[line.HUB if name == TEXT else line.STORAGE] += [line.flipped(2)]
    with pytest.raises(HubError, match="another digest than the Hub names, and is fetched again") as caught:
        fetch(name)
    assert not isinstance(caught.value, HubRefused)
    assert not (tmp_path / name).exists()
    assert fetch(name).resumed == 0


def test_a_wrong_digest_twice_is_an_error_even_in_two_processes(fetch, storage, wire, tmp_path):
    storage += [line.flipped(HALF)] * 2
    with pytest.raises(HubError, match="is fetched again"):
        fetch(SMALL)
    with pytest.raises(HubRefused, match="arrived twice with another digest") as caught:
        fetch(SMALL)
    assert "memory or the disk" in caught.value.hint
    assert beside(tmp_path) == []
    assert fetch(SMALL).new, "whoever asks again begins anew"


def test_a_wrong_digest_is_not_asked_for_eight_times(fetch, storage, wire):
    storage += [line.flipped(HALF)] * 8
    with pytest.raises(HubRefused):
        fetch(SMALL, patient=8)
    assert len(wire.ranges) == 2


def test_an_address_that_expires_in_between_is_asked_for_again(fetch, storage, wire):
    # All connections have asked with the first address before one asks with it again.
    storage += [*[line.together(download.CONNECTIONS)] * download.CONNECTIONS, line.answered(403)]
    fetch()
    assert wire.sent == len(CONTENT)
    assert len(wire.ranges) == 7


def test_a_server_without_ranges_sends_all_and_nothing_that_was_here_is_lost(fetch, storage, wire):
    storage += [None, line.cut(HALF)]
    with pytest.raises(HubError):
        fetch()
    wire.clear()
    storage += [line.without_ranges] * 20
    told = fetch()
    assert told.resumed >= PIECE
    assert told.new == len(CONTENT) - told.resumed
    assert wire.ranges[-1] is None
    assert wire.ranges.count(None) == 1


def test_a_file_that_is_here_but_not_recorded_is_not_fetched_again(fetch, wire, tmp_path):
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
        told = fetch(name)
        assert (told.new, told.resumed) == (0, len(content))
        (tmp_path / name).unlink()
    assert wire.asked == []


@pytest.mark.parametrize("name", [SMALL, TEXT])
def test_a_file_that_is_here_and_damaged_is(fetch, tmp_path, name):
    damaged = bytearray(CONTENTS[name])
    damaged[3] ^= 1
    for content in (damaged, damaged[:-1]):
        (tmp_path / name).write_bytes(content)
        assert fetch(name).new == len(CONTENTS[name])
        (tmp_path / name).unlink()


@pytest.mark.parametrize("stalls_after", [0, HALF])
def test_a_run_that_is_stopped_does_not_wait_for_a_line_that_stalls(fetch, storage, monkeypatch, stalls_after):
    monkeypatch.setattr(remote, "_TIMEOUT", None)
    storage += [line.stalled(stalls_after)] * 4
    calls = []

    def stopping(amount, /, *, resumed=False):
        calls.append(amount)
        if len(calls) > 2:
            raise Interrupted("stopped")

    ended = threading.Event()

    def run():
        with pytest.raises(Interrupted):
            fetch(told=stopping)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(10)
    fetch()


def test_a_full_disk_is_one_error_and_what_came_is_kept(fetch, monkeypatch, wire):
    real, room = os.pwrite, [5]

    def full(handle, block, offset):
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= 1
        return real(handle, block, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError) as caught:
            fetch(patient=3)
        assert caught.value.errno == errno.ENOSPC
    assert fetch().resumed == 5 * PIECE
