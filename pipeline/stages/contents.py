"""Every file that a release publishes of what it made, under the path that it has on the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.hub.protocol import Upload
from pipeline.manifest import File, describe
from pipeline.stages import quantize, render

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engine.task import Step
    from pipeline.stages.job import Job


def made(job: Job, step: Step) -> list[Upload]:
    """The model, and what was rendered about it, by the records of the tasks that made them."""
    digests = {output.path: output.sha256 for task in quantize.names(job) for output in step.record(task).outputs}
    paths = {quantize.in_model(path): path for path in digests}
    rendered = step.record(render.TASK)
    for name, path in render.FILES.items():
        digests[path] = rendered.sha256(path)
        paths[name] = path
    for path, digest in render.plots_made(rendered).items():
        paths[path] = render.in_workspace(path)
        digests[paths[path]] = digest
    return [
        Upload(step.path(path), _file(step.path(path), name, digests[path])) for name, path in sorted(paths.items())
    ]


def _file(path: Path, name: str, sha256: str) -> File:
    """Weights are never held by git, so that nothing of them has to be read for their other digest."""
    if name.endswith(".safetensors"):
        return File(name, path.stat().st_size, sha256)
    return describe(path, name, known_sha256=sha256)
