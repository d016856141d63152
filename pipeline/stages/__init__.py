"""The stages of a release, in order; each turns the job into tasks, and says why it exists in its lane."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.release.places import did_you_mean
from pipeline.stages import download, quantize, render, seed, upload, validate

if TYPE_CHECKING:
    from pipeline.engine.task import Task
    from pipeline.stages.job import Job

STAGES = (seed, download, quantize, validate, render, upload)
NAMES = tuple(stage.LANE.name for stage in STAGES)


def tasks(job: Job, until: str | None = None) -> list[Task]:
    """Every task of the release, or those of the stages up to and including `until`.

    What ends in publishing fetches nothing before the Hub has said that it may.

    Raises: UsageError when there is no such stage.
    """
    if until is not None and until not in NAMES:
        raise UsageError(
            f"there is no stage {until!r}{did_you_mean(until, NAMES)}", hint=f"The stages are: {', '.join(NAMES)}."
        )
    last = NAMES.index(until) if until else len(NAMES) - 1
    chosen = [task for stage in STAGES[: last + 1] for task in stage.tasks(job)]
    if STAGES[last] is not upload:
        return chosen
    return [replace(task, after=(upload.HEAD,)) if task.lane is download.LANE else task for task in chosen]
