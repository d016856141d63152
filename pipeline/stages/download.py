"""Everything the release is made from, at pinned commits, every file checked against the Hub's digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engine.task import Lane, Task
from pipeline.errors import HubRefused
from pipeline.hub import partial
from pipeline.hub.protocol import Repository
from pipeline.stages import seed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine.task import Step
    from pipeline.manifest import File, Json
    from pipeline.release.texts import HubFile
    from pipeline.stages.job import Job

LANE = Lane("download", "fetches the base model and the evaluation text, resuming where a connection ended", width=4)
BASE = "base"
TEXT = "text"


def base_task(path: str) -> str:
    return f"download/{BASE}/{path}"


def text_task(job: Job) -> str:
    """The task that fetches the evaluation text, where that is on a Hub."""
    return f"download/{text_path(job)}"


def text_path(job: Job) -> str:
    return f"{TEXT}/{job.release.evaluate.text.file}"


def tasks(job: Job) -> list[Task]:
    text = job.release.evaluate.text.on_hub
    return [*(_base_file(job, file) for file in job.base_files), *([_text(job, text)] if text else [])]


def sweep(job: Job) -> list[str]:
    """Remove what is left of unfinished files that an earlier base or text had, and answer their paths."""
    root = job.workspace.root
    targets = {job.workspace.path(output) for task in tasks(job) for output in task.outputs}
    swept = [path for folder in (BASE, TEXT) for path in partial.sweep(root / folder, targets)]
    return [str(path.relative_to(root)) for path in swept]


def _base_file(job: Job, file: File) -> Task:
    base = job.release.base
    repository = Repository(base.repo)
    output = f"{BASE}/{file.path}"

    def run(step: Step) -> Mapping[str, Json]:
        job.hub.download(repository, base.revision, file, step.path(output), step.advance)
        if file.sha256:
            step.digested(output, file.sha256)
        return {}

    return Task(
        base_task(file.path),
        LANE,
        run,
        needs=seed.needed(job, repository),
        settings={"repository": base.repo, "commit": base.revision, "digest": file.sha256 or file.git_sha1},
        outputs=(output,),
        work=file.size,
        transient=True,
    )


def _text(job: Job, text: HubFile) -> Task:
    repository = Repository(text.repo, "dataset")

    def run(step: Step) -> Mapping[str, Json]:
        files = job.hub.manifest(repository, text.revision)
        if text.file not in files:
            raise HubRefused(
                f"{repository} holds no {text.file} at {text.revision[:12]}",
                hint="Correct evaluate.text.file in release.yaml.",
            )
        job.hub.download(repository, text.revision, files[text.file], step.path(text_path(job)), step.advance)
        return {}

    return Task(
        text_task(job),
        LANE,
        run,
        needs=seed.needed(job, repository),
        settings={"repository": text.repo, "commit": text.revision, "file": text.file},
        outputs=(text_path(job),),
    )
