"""A plan and a status as golden text at three widths."""

from __future__ import annotations

import os
import re

import pytest

from pipeline.console import show_plan, show_status
from pipeline.console.lanes import lanes_to_run
from pipeline.engine.plan import plan
from pipeline.engine.workspace import Output, Record, Workspace
from pipeline.manifest import sha256

NOW = 1_800_000_000
WIDTHS = (60, 80, 120)


def finish(workspace, tasks, ago=300, seconds=2.5):
    """Leave the files and records of tasks that finished `ago` seconds before NOW."""
    for task in tasks:
        outputs = []
        for path in task.outputs:
            file = workspace.path(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(path)
            os.utime(file, ns=((NOW - ago) * 10**9, (NOW - ago) * 10**9))
            outputs.append(Output(path, file.stat().st_size, file.stat().st_mtime_ns, sha256(file)))
        inputs = {need: workspace.record(need).digest for need in task.needs}
        workspace.keep(Record(task.name, task.settings, inputs, tuple(outputs), seconds=seconds))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan_says_why_each_task_runs(tmp_path, width, page, release, check_golden):
    workspace = Workspace(tmp_path)
    finish(workspace, [t for t in release() if t.lane.name in {"download", "quantize"}])
    finish(workspace, [t for t in release() if t.name == "upload/model-00001-of-00007.safetensors"])
    workspace.path("base/merges.txt").write_text("altered")
    console = page(width)
    show_plan(plan(release(bits=4), workspace), console=console)
    check_golden(f"plan-{width}", console.file.getvalue())


def test_a_plan_can_name_every_task(tmp_path, pipe, release, check_golden):
    console = pipe()
    show_plan(plan(release(), Workspace(tmp_path)), every=True, dry_run=False, console=console)
    check_golden("plan-every", console.file.getvalue())


def test_seventy_shards_are_one_line_and_a_single_stranger_is_not_hidden(tmp_path, pipe, release):
    workspace = Workspace(tmp_path)
    finish(workspace, release(shards=70))
    workspace.path("model/model-00042-of-00070.safetensors").unlink()
    console = pipe()
    show_plan(plan(release(shards=70), workspace), console=console)
    lines = console.file.getvalue().splitlines()
    assert any(re.search(r"model-00001 … model-00070, 69 of 70 .* reuse", line) for line in lines)
    assert any(re.search(r"00042.*00042-of-00070.safetensors is missing or altered", line) for line in lines)
    assert len(lines) < 30


def test_a_finished_release_has_nothing_to_do(tmp_path, page, release, check_golden):
    finish(Workspace(tmp_path), release())
    console = page()
    show_plan(plan(release(), Workspace(tmp_path)), console=console)
    check_golden("plan-nothing", console.file.getvalue())


@pytest.mark.parametrize("width", WIDTHS)
def test_status_says_when_and_how_long(tmp_path, width, page, release, check_golden):
    workspace = Workspace(tmp_path)
    finish(workspace, [t for t in release() if t.lane.name == "download"], ago=3 * 86400, seconds=95)
    finish(workspace, [t for t in release() if t.lane.name == "quantize"][:5])
    console = page(width)
    show_status(plan(release(), workspace), now=NOW, console=console)
    check_golden(f"status-{width}", console.file.getvalue())


def test_lanes_stand_in_the_order_in_which_they_end(tmp_path, release):
    assert list(lanes_to_run(plan(release(), Workspace(tmp_path)))) == [
        "download", "quantize", "validate", "render", "upload",
    ]  # fmt: skip
