"""What an earlier release left in the folders of base and model: mlx-lm loads every file that it finds in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.errors import WorkspaceError
from pipeline.stages import download, quantize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.engine.task import Task
    from pipeline.stages.job import Job

_GROUPS = {f"{download.LANE.name}/{download.BASE}": download.BASE, quantize.LANE.name: quantize.MODEL}
"""The folder that the tasks of a group fill."""
_SHARD = re.compile(r"\.?(model(?:-\d{5}-of-\d{5})?\.safetensors)(?:\.part)?")
"""The name of a shard, or of one that was being written."""
_LOADED = "model*.safetensors"
"""What mlx-lm loads of a folder."""


def sweep(job: Job) -> list[str]:
    """Remove what tasks made, or had begun to make, and this release does not have, and answer the paths.

    That is whatever a record names, though it was altered since, shards in the model folder that a kill left without a
    record, and what the notes of a download name.
    """
    tasks = _tasks(job)
    names, planned = {task.name for task in tasks}, _planned(tasks)
    swept = []
    for group, folder in _GROUPS.items():
        for name in job.workspace.recorded(group):
            record = job.workspace.record(name)
            made = [output.path for output in record.outputs] if record else []
            gone = [path for path in made if path not in planned and _is_in(job, folder, path)]
            for path in gone:
                job.workspace.path(path).unlink()
            if name not in names:
                job.workspace.forget(name)
            swept += gone
    for shard, file in _shards(job.workspace.path(quantize.MODEL)):
        if quantize.path(shard) not in planned:
            file.unlink()
            swept.append(quantize.path(file.name))
    return swept + download.sweep(job)


def check(job: Job) -> None:
    """Nothing but the release's own files is left for mlx-lm to load.

    Raises: WorkspaceError for anything else; it is somebody's.
    """
    planned = _planned(_tasks(job))
    for folder in (download.BASE, quantize.MODEL):
        for path in sorted(job.workspace.path(folder).glob(_LOADED)):
            if f"{folder}/{path.name}" not in planned:
                raise WorkspaceError(
                    f"{path} is no file of this release, and mlx-lm would load it with the others",
                    hint="Move it out of that folder.",
                )


def _tasks(job: Job) -> list[Task]:
    return [task for stage in (download, quantize) for task in stage.tasks(job)]


def _planned(tasks: Sequence[Task]) -> set[str]:
    return {output for task in tasks for output in task.outputs}


def _is_in(job: Job, folder: str, path: str) -> bool:
    """Whether it is a file in the folder, by no link."""
    file, root = job.workspace.path(path), job.workspace.path(folder)
    inside = file.parent.resolve().is_relative_to(root.resolve()) and path.startswith(f"{folder}/")
    return inside and file.is_file() and not file.is_symlink()


def _shards(model: Path) -> Iterator[tuple[str, Path]]:
    """Shards by their names; none where the folder is a link, since others may write to it as well."""
    if not model.is_symlink() and model.is_dir():
        for path in sorted(model.iterdir()):
            named = _SHARD.fullmatch(path.name)
            if named and path.is_file() and not path.is_symlink():
                yield named[1], path
