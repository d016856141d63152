"""What can be wrong with a release before anything of it is made: `plan` says it, and `release` does not begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import console, stages
from pipeline.release.find import release_file
from pipeline.stages import validate
from pipeline.stages.fit import check_fit
from pipeline.stages.front_matter import check_front_matter
from pipeline.stages.happened import check_against

if TYPE_CHECKING:
    from pipeline.stages.job import Job


def check(job: Job, until: str | None = None) -> None:
    """Raises for a result that is too large, a card that the Hub refuses, and a comparison that cannot be made.

    until: the last stage of the run; what it is compared with counts only where it comes to judging.
    """
    check_fit(job.layout, job.assignment.modules, job.release.fit, release_file(job.name))
    for remark in check_front_matter(job):
        console.show_note(remark)
    if any(task.name == validate.JUDGE for task in stages.tasks(job, until)):
        check_against(job)
