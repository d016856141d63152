"""What an earlier release left in the folders of base and model: mlx-lm loads every file that it finds in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engine.plan import found
from pipeline.stages import download, quantize

if TYPE_CHECKING:
    from pipeline.engine.workspace import Output
    from pipeline.stages.job import Job

_GROUPS = {f"{download.LANE.name}/{download.BASE}": download.BASE, quantize.LANE.name: quantize.MODEL}
"""The folder that the tasks of a group fill."""


def sweep(job: Job) -> list[str]:
    """Remove what tasks made, or had begun to fetch, and this release does not have, and answer the paths.

    Only what lies there as a record, or the notes of a download, has it is removed: anything else is somebody's.
    """
    tasks = {task.name: task for stage in (download, quantize) for task in stage.tasks(job)}
    planned = {output for task in tasks.values() for output in task.outputs}
    swept = []
    for group, folder in _GROUPS.items():
        for name in job.workspace.recorded(group):
            record = job.workspace.record(name)
            made = record.outputs if record else ()
            gone = [output.path for output in made if output.path not in planned and _is_ours(job, folder, output)]
            for path in gone:
                job.workspace.path(path).unlink()
            if name not in tasks:
                job.workspace.forget(name)
            swept += gone
    return swept + download.sweep(job)


def _is_ours(job: Job, folder: str, output: Output) -> bool:
    """Whether the file is in the folder, by no link, and as it was when it was recorded."""
    path, root = job.workspace.path(output.path), job.workspace.path(folder)
    inside = path.parent.resolve().is_relative_to(root.resolve()) and output.path.startswith(f"{folder}/")
    return inside and path.is_file() and not path.is_symlink() and found(output, job.workspace) is not None
