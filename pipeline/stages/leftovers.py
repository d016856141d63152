"""What an earlier release left in the folders of base and model: mlx-lm loads every file that it finds in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.stages import download, quantize

if TYPE_CHECKING:
    from pipeline.stages.job import Job

_GROUPS = (f"{download.LANE.name}/{download.BASE}", quantize.LANE.name)


def sweep(job: Job) -> list[str]:
    """Remove what tasks made, or had begun to fetch, and this release does not have, and answer the paths.

    Only what a record or the notes of a download name is removed: anything else is somebody's.
    """
    tasks = {task.name: task for stage in (download, quantize) for task in stage.tasks(job)}
    planned = {output for task in tasks.values() for output in task.outputs}
    swept = []
    for group in _GROUPS:
        for name in job.workspace.recorded(group):
            record = job.workspace.record(name)
            made = [output.path for output in record.outputs] if record else []
            gone = [path for path in made if path not in planned and job.workspace.path(path).exists()]
            for path in gone:
                job.workspace.path(path).unlink()
            if name not in tasks:
                job.workspace.forget(name)
            swept += gone
    return swept + download.sweep(job)
