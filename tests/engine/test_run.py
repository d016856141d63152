from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import pytest

from pipeline.engine.plan import plan
from pipeline.engine.progress import Silent
from pipeline.engine.run import run
from pipeline.engine.task import Lane, Task
from pipeline.errors import Interrupted, PipelineError, WorkspaceError


def make(tasks, kitchen, **options):
    run(plan(tasks, kitchen.workspace), kitchen.workspace, Silent(), **options)


def test_a_task_starts_when_what_it_needs_is_there(kitchen):
    make([kitchen.task("c", ("a", "b"), lane=1), kitchen.task("a"), kitchen.task("b", ("a",), lane=1)], kitchen)
    assert kitchen.content("c") == "c=(a=()b=(a=()))"


def test_lanes_overlap_and_keep_their_width(kitchen):
    both = threading.Barrier(2, timeout=20)
    inside: list[str] = []

    def meet(step):
        inside.append("in")
        both.wait()
        return {}

    lanes = (Lane("download", "", width=1), Lane("quantize", "", width=1))
    make([Task("d", lanes[0], meet), Task("q", lanes[1], meet)], kitchen)
    assert inside == ["in", "in"], "tasks of two lanes run at the same time"

    most = 0
    now = 0
    count = threading.Lock()

    def crowd(step):
        nonlocal most, now
        with count:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with count:
            now -= 1
        return {}

    make([Task(f"t{i}", Lane("narrow", "", width=2), crowd) for i in range(8)], kitchen)
    assert most == 2


def test_what_comes_out_as_before_stops_the_rerun(kitchen):
    def tasks(text, made):
        first = kitchen.task("a", text=text)

        def same(step):
            step.path("made/a").write_text(made)
            return {}

        return [Task("a", first.lane, same, (), {"text": text}, first.outputs), kitchen.task("b", ("a",))]

    make(tasks("1", "equal"), kitchen)
    make(tasks("2", "equal"), kitchen)
    assert kitchen.starts == ["b"]
    make(tasks("3", "other"), kitchen)
    assert kitchen.starts == ["b", "b"]


def test_what_has_to_be_done_first_is_and_changes_nothing_of_what_waits(kitchen):
    def tasks(text, outcome=None):
        def first(step):
            if outcome:
                raise outcome
            return {"said": text}

        waiting = replace(kitchen.task("b"), after=("first",))
        return [waiting, Task("first", Lane("other", ""), first, (), {"text": text})]

    with pytest.raises(PipelineError):
        make(tasks("no", PipelineError("no")), kitchen)
    assert kitchen.starts == []
    make(tasks("1"), kitchen)
    make(tasks("2"), kitchen)
    make([kitchen.task("b")], kitchen)
    assert kitchen.starts == ["b"]


def test_the_first_failure_stops_the_run_and_keeps_what_is_finished(kitchen):
    def fail(step):
        raise PipelineError("the base is broken", hint="get another")

    broken = Task("broken", kitchen.lanes[0], fail, ("a",))
    with pytest.raises(PipelineError, match="the base is broken"):
        make([kitchen.task("a"), broken, kitchen.task("b", ("broken",))], kitchen)
    assert kitchen.starts == ["a"]
    assert kitchen.workspace.record("a")
    assert kitchen.workspace.record("broken") is None


def test_a_failure_interrupts_the_tasks_beside_it(kitchen):
    started = threading.Event()

    def endless(step):
        started.set()
        while True:
            step.advance(1)
            threading.Event().wait(0.001)

    def fail(step):
        started.wait(20)
        raise PipelineError("no")

    with pytest.raises(PipelineError, match="no"):
        make([Task("endless", kitchen.lanes[0], endless), Task("fail", kitchen.lanes[1], fail)], kitchen)


def test_a_full_disk_is_an_error_that_says_what_to_do(kitchen):
    def fill(step):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WorkspaceError, match="disk is full") as caught:
        make([Task("fill", kitchen.lanes[0], fill)], kitchen)
    assert "--workspace" in caught.value.hint


def test_a_bug_in_a_task_comes_out_as_it_is(kitchen):
    def bug(step):
        return {"value": 1 / 0}

    with pytest.raises(ZeroDivisionError):
        make([Task("bug", kitchen.lanes[0], bug)], kitchen)


def test_the_disk_window_deletes_base_files_and_holds_back_downloads(kitchen):
    most = 0
    bases = [f"base{i}" for i in range(6)]

    def look(step):
        nonlocal most
        most = max(most, sum(kitchen.workspace.path(f"made/{b}").exists() for b in bases))
        return {}

    tasks = [kitchen.task(base, transient=True) for base in bases]
    tasks += [Task(f"shard{i}", kitchen.lanes[1], look, (base,)) for i, base in enumerate(bases)]
    make(tasks, kitchen, window=2)
    assert 1 <= most <= 2
    assert not any(kitchen.workspace.path(f"made/{b}").exists() for b in bases)
    make(tasks, kitchen, window=2)
    assert sorted(kitchen.starts) == bases, "a deleted base file is no reason to fetch it again"


def test_a_window_too_small_for_one_task_still_ends(kitchen):
    bases = [kitchen.task(f"base{i}", transient=True) for i in range(3)]
    make([*bases, kitchen.task("all", tuple(b.name for b in bases))], kitchen, window=1)
    assert kitchen.content("all") == "all=(base0=()base1=()base2=())"


def test_without_a_window_base_files_stay(kitchen):
    make([kitchen.task("base", transient=True), kitchen.task("x", ("base",))], kitchen)
    assert kitchen.content("base") == "base=()"


def test_two_processes_cannot_run_one_release(kitchen):
    with (
        kitchen.workspace.locked(),
        pytest.raises(WorkspaceError, match=f"pid {os.getpid()}"),
        kitchen.workspace.locked(),
    ):
        pass
    with kitchen.workspace.locked():
        pass


def test_ctrl_c_ends_the_run_and_keeps_what_is_finished(tmp_path):
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from pipeline.engine.plan import plan
        from pipeline.engine.progress import Silent
        from pipeline.engine.run import run
        from pipeline.engine.task import Lane, Task
        from pipeline.engine.workspace import Workspace
        from pipeline.errors import Interrupted

        def endless(step):
            print("running", flush=True)
            while True:
                step.advance(1)
                time.sleep(0.01)

        lane = Lane("only", "")
        workspace = Workspace(Path(sys.argv[1]))
        tasks = [Task("a", lane, lambda step: {}), Task("b", lane, endless, ("a",))]
        try:
            run(plan(tasks, workspace), workspace, Silent())
        except Interrupted as error:
            print(error.hint)
            sys.exit(error.exit_code)
        """
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "running\n"
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=30)
    assert child.returncode == Interrupted.exit_code
    assert "same command" in said
    assert (tmp_path / "records" / "a.json").exists()
