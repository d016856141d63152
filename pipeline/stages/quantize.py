"""The recipe applied: every output shard streamed from the base files that it needs, then the files around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import provenance
from pipeline.engine.task import Lane, Task
from pipeline.manifest import write_atomically
from pipeline.stages import download
from pipeline.weights.base import CONFIG, INDEX
from pipeline.weights.side_files import side_files, write_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine.task import Step
    from pipeline.manifest import Json
    from pipeline.stages.job import Job
    from pipeline.weights.layout import Shard

LANE = Lane("quantize", "applies the recipe slab by slab, so that memory does not grow with the model")
MODEL = "model"
SIDE_FILES = "quantize/side-files"
# Raised when the same recipe on the same base would give other bytes than before.
_GENERATION = 1


def name(shard: str) -> str:
    return f"quantize/{shard}"


def names(job: Job) -> tuple[str, ...]:
    """The tasks that together make the model folder."""
    return (*(name(shard.name) for shard in job.layout.shards), SIDE_FILES)


def path(file: str) -> str:
    return f"{MODEL}/{file}"


def in_model(output: str) -> str:
    return output.removeprefix(f"{MODEL}/")


def tasks(job: Job) -> list[Task]:
    return [*(_shard(job, shard) for shard in job.layout.shards), _side_files(job)]


def _shard(job: Job, shard: Shard) -> Task:
    output = path(shard.name)

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.weights.quantizer import write_shard

        target = step.path(output)
        step.digested(output, write_shard(job.layout, shard, step.path(download.BASE), target, advance=step.advance))
        return {"tools": {**provenance.tools()}}

    settings: dict[str, Json] = {
        "tensors": {f"{piece.parameter}": str(piece.precision or piece.dtype) for piece in shard.pieces},
        "generation": _GENERATION,
    }
    needs = tuple(download.base_task(file) for file in sorted(job.layout.needs(shard)))
    return Task(name(shard.name), LANE, run, needs, settings, (output,), work=shard.size)


def _side_files(job: Job) -> Task:
    copied = side_files(job.base.files)
    written: dict[str, Json] = {CONFIG: job.layout.config, INDEX: job.layout.index}

    def run(step: Step) -> Mapping[str, Json]:
        for file in copied:
            write_atomically(step.path(path(file.path)), step.path(f"{download.BASE}/{file.path}").read_bytes())
        write_texts(job.layout, step.path(MODEL))
        return {}

    outputs = tuple(sorted(path(file) for file in {*written, *(file.path for file in copied)}))
    needs = tuple(download.base_task(file.path) for file in copied)
    return Task(SIDE_FILES, LANE, run, needs, written, outputs)
