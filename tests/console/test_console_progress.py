"""A run as it happens: bars on a terminal, plain lines in a pipe, nothing that waits for ever."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from rich.console import Console
from rich.text import Text

from pipeline.console import Progress
from pipeline.console.progress import can_be_live
from pipeline.engine.plan import Decision, Plan, plan
from pipeline.engine.run import run
from pipeline.engine.task import Lane, Task
from pipeline.engine.workspace import Record, Workspace
from pipeline.errors import HubError, Interrupted

DOWNLOAD = Lane("download", "", 2)
QUANTIZE = Lane("quantize", "")
VALIDATE = Lane("validate", "", unit="tokens")
RENDER = Lane("render", "", unit="")
UPLOAD = Lane("upload", "", 2)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_plain_lines_tell_each_finished_task_and_each_lane_every_ten_seconds(pipe, only):
    clock, console = Clock(), pipe()
    decisions = only(DOWNLOAD, 100_000_000, 100_000_000)
    first, second = (d.task for d in decisions)
    progress = Progress(console, clock=clock)
    progress.planned(decisions)
    progress.started(first)
    for _ in range(25):
        clock.now += 1
        progress.advanced(first, 4_000_000)
    progress.finished(first, Record(first.name, {}, {}, seconds=25), reused=False)
    progress.finished(second, Record(second.name, {}, {}), reused=True)
    assert console.file.getvalue().splitlines() == [
        "download: 20 %, 40.0 of 200 MB, 4.00 MB/s, 40 s left",
        "download: 40 %, 80.0 of 200 MB, 4.00 MB/s, 30 s left",
        "download/1: 100 MB in 25 s, 4.00 MB/s (1 of 2)",
        "download/2: stands, what it needs came out as before (2 of 2)",
    ]


def test_a_resumed_task_tells_how_much_was_here_and_how_fast_the_rest_came(pipe, only):
    clock, console = Clock(), pipe()
    decisions = only(DOWNLOAD, 100_000_000, 50_000_000)
    first, second = (d.task for d in decisions)
    progress = Progress(console, clock=clock)
    progress.planned(decisions)
    progress.started(first)
    progress.advanced(first, 60_000_000, resumed=True)
    clock.now += 12
    progress.advanced(first, 24_000_000)
    clock.now += 8
    progress.advanced(first, 16_000_000)
    progress.finished(first, Record(first.name, {}, {}, seconds=20), reused=False)
    progress.started(second)
    progress.advanced(second, 50_000_000, resumed=True)
    progress.finished(second, Record(second.name, {}, {}, seconds=2), reused=False)
    assert console.file.getvalue().splitlines() == [
        "download: 56 %, 84.0 of 150 MB, 2.00 MB/s, 33 s left",
        "download/1: 100 MB in 20 s, 2.00 MB/s, 60.0 MB of it were here already (1 of 2)",
        "download/2: 50.0 MB in 2.0 s, all of it was here already (2 of 2)",
    ]


def test_more_work_than_estimated_is_never_more_than_all_of_it(pipe, only):
    clock, console = Clock(), pipe()
    decisions = only(VALIDATE, 1000)
    task = decisions.decisions[0].task
    progress = Progress(console, clock=clock)
    progress.planned(decisions)
    progress.started(task)
    for _ in range(3):
        clock.now += 10
        progress.advanced(task, 700)
    assert [line.split(",")[0] for line in console.file.getvalue().splitlines()] == [
        "validate: 70 %",
        "validate: 100 %",
        "validate: 100 %",
    ]


def test_a_lane_without_estimates_counts_its_tasks(pipe, only):
    clock, console = Clock(), pipe()
    decisions = only(RENDER, 0, 0)
    progress = Progress(console, clock=clock)
    progress.planned(decisions)
    progress.started(decisions.decisions[0].task)
    clock.now += 12
    progress.tell()
    assert console.file.getvalue() == "render: 0 of 2 tasks, 12 s so far\n"


def busy(step):
    """Work that advances in small steps and remarks on it."""
    step.note("working [bold]hard[/bold] \x1b]0;title\x07")
    for _ in range(20):
        time.sleep(0.001)
        step.advance(50_000)
    for output in step.task.outputs:
        step.path(output).write_text(step.task.name)
    return {}


def test_a_run_in_a_pipe_is_one_line_a_task_without_control_characters(tmp_path, pipe, release):
    console = pipe()
    decisions = plan(release(shards=3, run=busy), Workspace(tmp_path))
    with Progress(console) as progress:
        progress.planned(decisions)
        run(decisions, Workspace(tmp_path), progress)
    lines = console.file.getvalue().splitlines()
    finished = [line for line in lines if "working" not in line]
    assert sorted(line.partition(":")[0] for line in finished) == sorted(d.task.name for d in decisions)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", console.file.getvalue())


def test_a_run_on_a_terminal_ends_with_a_tick_a_lane_and_a_cursor(tmp_path, terminal, release):
    console = terminal(width=100)
    decisions = plan(release(shards=3, run=busy), Workspace(tmp_path))
    with Progress(console) as progress:
        progress.planned(decisions)
        run(decisions, Workspace(tmp_path), progress)
    last = Text.from_ansi(console.file.getvalue().rpartition("\x1b[?25h")[0]).plain.splitlines()[-8:]
    # Above the last frame may stand the end of one that was drawn a moment before, on a busy machine as finished as it.
    ticked = [line.split()[1] for line in last if "✓" in line][-5:]
    assert ticked == ["download", "quantize", "validate", "render", "upload"]
    assert "18 of 18 tasks, 0:0" in last[-2] + last[-1]
    assert console.file.getvalue().count("\x1b[?25l") == console.file.getvalue().count("\x1b[?25h") == 1
    assert "working [bold]hard[/bold] \\x1b]0;title\\x07" in console.file.getvalue()


def test_a_run_with_nothing_to_do_shows_nothing(terminal):
    console = terminal()
    with Progress(console) as progress:
        progress.planned(Plan(()))
    assert not console.file.getvalue()


def test_what_is_printed_after_stopping_stands_below_the_bars(terminal, only):
    console = terminal()
    with Progress(console) as progress:
        progress.planned(only(UPLOAD, 10))
        progress.stop()
        console.print("thresholds")
    assert console.file.getvalue().endswith("\x1b[?25h\nthresholds\n")


def test_the_first_failure_has_a_cross_and_the_others_are_only_stopped(tmp_path, terminal):
    entered = threading.Event()

    def refuse(step):
        entered.wait(5)
        raise HubError("the Hub gave up")

    def patient(step):
        entered.set()
        while True:
            time.sleep(0.001)
            step.advance(1)

    console = terminal(width=100)
    decisions = Plan(
        (Decision(Task("upload/a", UPLOAD, refuse), "new"), Decision(Task("quantize/b", QUANTIZE, patient), "new"))
    )
    with Progress(console) as progress:
        progress.planned(decisions)
        with pytest.raises(HubError):
            run(decisions, Workspace(tmp_path), progress)
    last = console.file.getvalue().splitlines()[-5:]
    assert any(re.search("✗ upload.*failed", line) for line in last)
    assert any(re.search("· quantize.*stopped", line) for line in last)


def test_an_interrupted_task_is_not_called_failed_in_a_pipe(pipe, only):
    console = pipe()
    decisions = only(UPLOAD, 10, 10)
    progress = Progress(console)
    progress.planned(decisions)
    for decision, error in zip(decisions, (Interrupted("stopped"), HubError("no")), strict=True):
        progress.started(decision.task)
        progress.failed(decision.task, error)
    assert console.file.getvalue() == "upload/2: failed\n"


def test_notes_and_redraws_from_many_threads_do_not_wait_for_each_other(terminal, only):
    console = terminal()
    decisions = only(DOWNLOAD, *[1000] * 4)
    with Progress(console) as progress:
        progress.planned(decisions)

        def chat(task):
            progress.started(task)
            for number in range(100):
                progress.noted(task, f"note {number}")
                progress.advanced(task, 10)

        threads = [threading.Thread(target=chat, args=(d.task,), daemon=True) for d in decisions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(
    ("environment", "ci", "live"),
    [
        ({"TERM": "xterm-256color"}, "", True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "", True),
        ({"TERM": "dumb"}, "", False),
        ({"TERM": "xterm"}, "true", False),
    ],
)
def test_bars_are_for_terminals_with_a_person_before_them(monkeypatch, terminal, environment, ci, live):
    monkeypatch.setenv("CI", ci)
    assert can_be_live(Console(file=terminal().file, _environ=environment)) is live


def test_forced_colours_do_not_make_a_pipe_a_terminal(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    assert not can_be_live(Console(file=io.StringIO(), _environ={"FORCE_COLOR": "1", "TERM": "xterm"}))
