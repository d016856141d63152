"""Whether the disk holds what a run is about to write: the base or its window, the result, and a rehearsal's Hub."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pipeline.card.figures import byte_size
from pipeline.errors import WorkspaceError
from pipeline.stages import download, quantize, upload

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engine.plan import Plan
    from pipeline.engine.task import Task
    from pipeline.engine.workspace import Workspace

_SPARE = 100_000_000  # bytes for records, states and the card


def check_room(planned: Plan, workspace: Workspace, *, window: int | None, rehearsal: bool) -> None:
    """`WorkspaceError` when less is free than the run needs, with what each part of it takes.

    window: bytes of the base that are kept at most; None keeps all of it.
    rehearsal: the Hub is the embedded one, which keeps what is published on the same disk.
    """
    tasks = [decision.task for decision in planned.to_run if not decision.follows]
    base = sum(_missing(task, workspace) for task in tasks if task.lane == download.LANE)
    parts = {
        "the base": base if window is None else min(base, window),
        "the result": sum(_missing(task, workspace) for task in tasks if task.lane == quantize.LANE),
        "the embedded Hub": sum(task.work for task in tasks if task.lane == upload.LANE) if rehearsal else 0,
    }
    needed = sum(parts.values())
    free = shutil.disk_usage(_existing(workspace.root)).free
    if not needed or needed + _SPARE <= free:
        return
    listed = ", ".join(f"{byte_size(size)} for {name}" for name, size in parts.items() if size)
    kept = "" if window is not None or not base else " or --disk-window SIZE, which keeps less of the base,"
    raise WorkspaceError(
        f"{workspace.root} has room for {byte_size(free)}, and this run needs {byte_size(needed)}: {listed}",
        hint=f"Free some space, or use{kept} another disk with --workspace. Nothing was started.",
    )


def _missing(task: Task, workspace: Workspace) -> int:
    """Bytes of a task's file without those of an interrupted download, by the room they take and not by its length."""
    paths = [workspace.path(output) for output in task.outputs]
    parts = [path.with_name(name) for path in paths for name in (f"{path.name}.part", f".{path.name}.part")]
    return max(0, task.work - sum(part.stat().st_blocks * 512 for part in parts if part.is_file()))


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
