"""What `pipeline status` does: say what is done, and what the next run would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import console, stages
from pipeline.commands.opening import job_of
from pipeline.engine.plan import plan

if TYPE_CHECKING:
    from pathlib import Path


def show(name: str, workspace: Path | None, *, every: bool) -> int:
    with job_of(name, workspace, writable=False) as job:
        console.show_status(plan(stages.tasks(job), job.workspace), every=every)
    return 0
