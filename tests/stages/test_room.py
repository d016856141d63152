"""Whether a run fits on the disk, before it begins."""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

import pytest

from pipeline.engine.plan import plan
from pipeline.engine.task import Task
from pipeline.engine.workspace import Output, Record, Workspace
from pipeline.errors import WorkspaceError
from pipeline.stages import download, quantize, upload
from pipeline.stages.room import check_room

GB = 1_000_000_000


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "not/there/yet")


@pytest.fixture
def free(monkeypatch):
    def free(size):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10_000 * GB, 0, size))

    return free


def nothing(_):
    return {}


def planned(workspace):
    """600 GB of base, 350 GB of result and of upload."""
    base = [
        Task(f"download/{n}", download.LANE, nothing, outputs=(f"base/{n}",), work=300 * GB, transient=True)
        for n in (1, 2)
    ]
    shard = Task("quantize/1", quantize.LANE, nothing, ("download/1", "download/2"), {}, ("model/1",), 350 * GB)
    blob = Task("upload/1", upload.LANE, nothing, ("quantize/1",), work=350 * GB)
    return plan([*base, shard, blob], workspace)


def test_base_and_result_have_to_fit(workspace, free):
    free(951 * GB)
    check_room(planned(workspace), workspace, window=None, rehearsal=False)
    free(949 * GB)
    with pytest.raises(
        WorkspaceError, match=r"room for 949 GB.* 950 GB: 600 GB for the base, 350 GB for the"
    ) as caught:
        check_room(planned(workspace), workspace, window=None, rehearsal=False)
    assert "--disk-window SIZE" in caught.value.hint
    assert not workspace.root.exists()


def test_a_window_needs_no_more_than_it_is(workspace, free):
    free(411 * GB)
    check_room(planned(workspace), workspace, window=60 * GB, rehearsal=False)
    free(409 * GB)
    with pytest.raises(WorkspaceError, match=r"60\.0 GB for the base") as caught:
        check_room(planned(workspace), workspace, window=60 * GB, rehearsal=False)
    assert "--disk-window" not in caught.value.hint


def test_a_rehearsal_keeps_what_it_publishes_on_the_same_disk(workspace, free):
    free(1299 * GB)
    with pytest.raises(WorkspaceError, match="350 GB for the embedded Hub"):
        check_room(planned(workspace), workspace, window=None, rehearsal=True)


def test_what_is_there_needs_no_room_again(workspace, free):
    tight = 950 * GB + 100_000_000 - 2_000_000
    free(tight)
    for part in (workspace.path("base/1.part"), workspace.path("base/.2.part")):
        with pytest.raises(WorkspaceError):
            check_room(planned(workspace), workspace, window=None, rehearsal=False)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(bytes(1_000_000))
        os.truncate(part, 300 * GB)  # its length is no room that it takes
    check_room(planned(workspace), workspace, window=None, rehearsal=False)
    shard = workspace.path("model/1")
    shard.parent.mkdir()
    shard.touch()
    output = Output("model/1", 0, shard.stat().st_mtime_ns, "a" * 64)
    for number in (1, 2):
        workspace.keep(Record(f"download/{number}", {}, {}, (Output(f"base/{number}", 300 * GB, 0, "b" * 64),)))
    inputs = {f"download/{n}": workspace.record(f"download/{n}").digest for n in (1, 2)}
    workspace.keep(Record("quantize/1", {}, inputs, (output,)))
    free(0)
    check_room(planned(workspace), workspace, window=None, rehearsal=False)
