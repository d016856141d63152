"""A rehearsal has to start from something: a trained model and a text, put into the embedded Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engine.task import Lane, Task
from pipeline.hub.protocol import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Record
    from pipeline.manifest import Json
    from pipeline.stages.job import Job

LANE = Lane(
    "seed", "puts a trained base model and a text into the embedded Hub, for there is no network in a rehearsal"
)


def name(repository: Repository) -> str:
    return f"seed/{repository}"


def tasks(job: Job) -> list[Task]:
    return [_seed(job, repository, revision) for repository, revision in sources(job).items()]


def sources(job: Job) -> dict[Repository, str]:
    """The repositories of this release that the embedded Hub can be given, and the commits that are pinned."""
    from pipeline.rehearsal.catalogue import CATALOGUE

    wanted = {Repository(job.release.base.repo): job.release.base.revision}
    if text := job.release.evaluate.text.on_hub:
        wanted[Repository(text.repo, "dataset")] = text.revision
    return {repo: revision for repo, revision in wanted.items() if job.release.hub == "local" and repo in CATALOGUE}


def needed(job: Job, repository: Repository) -> tuple[str, ...]:
    """What a task that reads from `repository` has to wait for."""
    return (name(repository),) if repository in sources(job) else ()


def _seed(job: Job, repository: Repository, revision: str) -> Task:
    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.hub.local.store import Store
        from pipeline.rehearsal.catalogue import seed

        store = Store(job.folders.hub)
        return {"commit": seed(store, repository, job.workspace.root / "seed", step.note)}

    def check(_: Record) -> str | None:
        return None if job.hub.head(repository, revision) else f"the embedded Hub does not hold {repository}"

    return Task(name(repository), LANE, run, settings={"repository": str(repository), "commit": revision}, check=check)
