"""The repository that a release goes to: found, or created private and shown when everything is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.engine.task import Task
from pipeline.hub.doubt import THE_HUBS_OWN
from pipeline.hub.protocol import Repository
from pipeline.stages import seed
from pipeline.stages.preflight import check_rights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine.task import Lane, Step
    from pipeline.engine.workspace import Record
    from pipeline.manifest import Json
    from pipeline.stages.job import Job

INTENTION = "upload/intention"
REPOSITORY = "upload/repository"
COMMIT = "upload/commit"
"""Its record says that all was done; the lock names the commit a little before that."""
_SOON = timedelta(hours=1)
"""Longer than patience with one call lasts, and than clocks differ."""


def tasks(job: Job, lane: Lane) -> list[Task]:
    return [_intention(job, lane), _repository(job, lane)]


def show(job: Job, commit: str, step: Step) -> None:
    """Make public what this release created and has not shown before; say so where it stays private.

    Whoever makes the repository private after all was done meant it.
    """
    target, found = Repository(job.release.target.repo), step.record(REPOSITORY).values
    done = job.workspace.record(COMMIT)
    if found["created"] and found["first"] == _first(job) and not (done and done.values["commit"] == commit):
        job.hub.make_public(target)
    else:
        step.note(f"{target} stays private, which may be meant: its settings on the Hub make it public")


def _intention(job: Job, lane: Lane) -> Task:
    """Whether there is a repository, noted down before one is created; what it is good for is said by `_is_ours`."""
    target = Repository(job.release.target.repo)

    def run(_: Step) -> Mapping[str, Json]:
        if job.hub.head(target):
            return {"absent": None}
        return {"absent": datetime.now(UTC).isoformat()}

    def check(_: Record) -> str | None:
        return None if job.hub.head(target) else f"the Hub does not hold {target}"

    return Task(INTENTION, lane, run, settings={"repository": target.id}, check=check)


def _repository(job: Job, lane: Lane) -> Task:
    target = Repository(job.release.target.repo)

    def run(step: Step) -> Mapping[str, Json]:
        account = check_rights(job)
        if job.hub.head(target) is None:
            job.hub.create(target)
        step.note(f"publishing to {target} as {account}")
        return {"created": _is_ours(job, step.record(INTENTION)), "first": _first(job)}

    def check(record: Record) -> str | None:
        if job.hub.head(target) is None:
            return f"the Hub does not hold {target}"
        known = record.values.get("first") == _first(job)
        return None if known else f"{target} on the Hub is another repository than it was"

    needs = (INTENTION, *(seed.name(repository) for repository in seed.sources(job)))
    settings: dict[str, Json] = {"repository": target.id, "tag": job.release.target.tag}
    return Task(REPOSITORY, lane, run, needs, settings, check=check)


def _is_ours(job: Job, intention: Record) -> bool:
    """Whether this release created the repository and has not shown it yet, and so may make it public.

    A repository is created private, since nobody shall see it empty, and its creation is the one thing here that the
    Hub cannot be asked about afterwards: it looks the same whoever did it, and a process that was killed in between
    does not remember. So two witnesses have to agree. That there was none is on disk, synchronized, before the Hub is
    asked to create it. And what the Hub shows is what a creation leaves and nobody has used yet: one commit, dated
    soon after that moment, with the Hub's own file and no other. Whoever keeps a private repository of that name had
    it before, or has put something into it, or made it at another time: for them one of the two is missing, and it
    stays as it is. An intention is good for one creation: once it was carried out, only the repository that came of it
    is ours, known by its first commit, and a private one that was put in its place is not. In a new workspace there is
    no first witness: the repository stays private, and `show` says how to change that.

    What is left: somebody kills a release that asks for a public repository in the second before it creates one, makes
    an empty private one of that name by hand within the hour, and then runs that very release again.
    """
    target, before = Repository(job.release.target.repo), job.workspace.record(REPOSITORY)
    history = job.hub.history(target, "main")
    if before and before.inputs.get(INTENTION) == intention.digest:
        is_the_same = before.values["first"] == history[-1].id
        return bool(before.values["created"]) and is_the_same and job.workspace.record(COMMIT) is None
    absent = intention.values["absent"]
    if absent is None or len(history) != 1:
        return False
    is_empty = {file.path for file in job.hub.manifest(target, history[0].id)} <= THE_HUBS_OWN
    return is_empty and abs(history[0].date - datetime.fromisoformat(str(absent))) < _SOON


def _first(job: Job) -> str:
    """The commit with which the repository began: one that was deleted and made anew has another."""
    return job.hub.history(Repository(job.release.target.repo), "main")[-1].id
