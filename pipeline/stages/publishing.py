"""What may be asked of publishing besides thresholds: that the card was reviewed, and that git keeps what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.stages import commit, render, upload

if TYPE_CHECKING:
    from pipeline.engine.plan import Plan
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders, Job


@dataclass(frozen=True)
class Publishing:
    """recorded: committed and tagged in the release repository; reviewed: digest of the only card that may be shown."""

    recorded: bool = False
    reviewed: str | None = None

    def check(self, asked: Asked, folders: Folders, until: str | None) -> None:
        """`UsageError` for what makes no sense, or would keep the release from being recorded; before anything else."""
        option = "--commit" if self.recorded else "--reviewed" if self.reviewed else ""
        if option and until not in {None, upload.LANE.name}:
            raise UsageError(f"{option} is about publishing, and `--until {until}` ends before it")
        if self.reviewed and not render.DIGEST.fullmatch(self.reviewed):
            raise UsageError(
                "--reviewed must be `sha256:` and 64 hexadecimal digits",
                hint=f"`pipeline card {asked.name} --digest` prints it.",
            )
        if self.recorded:
            commit.check(asked, folders)

    def check_planned(self, job: Job, planned: Plan) -> None:
        """What the plan already shows: `CardDiffers` for another card than was reviewed, or a record that is taken."""
        if job.reviewed and not planned[render.TASK].reason:
            render.check_reviewed(job, job.workspace.path(render.CARD).read_text(encoding="utf-8"))
        if self.recorded:
            remade = [one.task.name for one in planned.to_run if one.task.lane is not upload.LANE]
            commit.check_new(job.asked, job.folders, remade)
