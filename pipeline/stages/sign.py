"""The signature of a release, where one is asked for: made once of the very files that are published, and kept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.task import Task
from pipeline.hub.protocol import Repository, Upload, untold
from pipeline.manifest import Manifest, describe, write_atomically
from pipeline.stages import contents, quantize, render, signature, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine.plan import Plan
    from pipeline.engine.task import Lane, Step
    from pipeline.manifest import Json
    from pipeline.stages.job import Job
    from pipeline.stages.signature import Signer

TASK = "upload/signature"
_OUTPUT = f"card/{signature.FILE}"


def tasks(job: Job, lane: Lane) -> list[Task]:
    """None, unless the release asks for a signature; it is made when nothing is left to be judged."""
    signer = _signer(job)
    if signer is None:
        return []

    def run(step: Step) -> Mapping[str, Json]:
        files = signature.signed(Manifest(tuple(upload.file for upload in contents.made(job, step))))
        target = step.path(_OUTPUT)
        if not target.is_file() or signer.wrong(files, target):
            # Every signature of the same files is another one, and another file would need another tag.
            content = _published(job, signer, files) or signer.sign(job.release.target.repo, files)
            write_atomically(target, content)
            step.note(f"signed by {signer.by}")
        return {"files": len(files)}

    needs = (*quantize.names(job), validate.JUDGE, render.TASK)
    return [Task(TASK, lane, run, needs, signer.settings(), (_OUTPUT,))]


def upload(step: Step) -> Upload:
    path = step.path(_OUTPUT)
    return Upload(path, describe(path, signature.FILE, known_sha256=step.record(TASK).sha256(_OUTPUT)))


def check_planned(job: Job, planned: Plan) -> None:
    """`PipelineError` where a signature is going to be made and could not be; before anything is started."""
    signer = _signer(job)
    if signer and any(decision.task.name == TASK for decision in planned.to_run):
        signer.check()


def _signer(job: Job) -> Signer | None:
    asked = job.release.signing
    return signature.Signer(asked, job.folders.root) if asked else None


def _published(job: Job, signer: Signer, files: Manifest) -> bytes | None:
    """The signature that the tag holds already, where it is one of these files by this signer."""
    target = Repository(job.release.target.repo)
    commit = job.hub.tags(target).get(job.release.target.tag)
    there = job.hub.manifest(target, commit) if commit else Manifest(())
    if not commit or signature.FILE not in there:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / signature.FILE
        job.hub.download(target, commit, there[signature.FILE], path, untold)
        return None if signer.wrong(files, path) else path.read_bytes()
