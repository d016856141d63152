"""What is asked of the Hub before the first long task, so that no day of work ends at what was known before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import HubRefused
from pipeline.hub.protocol import Repository
from pipeline.stages.front_matter import planned_front_matter
from pipeline.stages.withdraw import is_withdrawn

if TYPE_CHECKING:
    from pipeline.stages.job import Job


def check_rights(job: Job) -> str:
    """The account that publishes; `HubRefused` when it may not, or when the Hub does not accept what the card says."""
    account = job.hub.whoami()
    job.hub.check_writable(Repository(job.release.target.repo))
    job.hub.validate_card(planned_front_matter(job))
    return account


def check_tag(job: Job) -> None:
    """`HubRefused` when the tag names a commit that this release did not make, or was withdrawn."""
    target, tag = Repository(job.release.target.repo), job.release.target.tag
    taken = job.hub.tags(target).get(tag)
    if taken and taken != job.published_commit:
        raise HubRefused(
            f"the tag {tag} of {target} already names commit {taken[:12]}, which this release did not make",
            hint="Raise target.tag in release.yaml, or delete the tag on the Hub.",
        )
    if not taken and is_withdrawn(job.hub, target, tag):
        raise HubRefused(
            f"the tag {tag} of {target} was withdrawn, as its history says",
            hint="A withdrawn tag is not used again: raise target.tag in release.yaml.",
        )


def check_private(job: Job) -> None:
    """`HubRefused` when the release is asked to be private and the repository is there for all to see."""
    target = Repository(job.release.target.repo)
    if job.release.target.private and not job.hub.is_private(target):
        raise HubRefused(
            f"release.yaml asks for a private repository, and {target} is public",
            hint="Make it private on the Hub, or choose another target.repo, or leave target.private out.",
        )
