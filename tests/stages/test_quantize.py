"""The model folder holds what the release has, and nothing of an earlier one, since mlx-lm loads all that it finds."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from small_release import SmallRelease

from pipeline.engine.plan import plan
from pipeline.engine.workspace import Output, Record
from pipeline.release.load import load_release
from pipeline.stages import download, quantize
from pipeline.stages.job import Folders, open_job


@pytest.fixture
def job(repository):
    small = SmallRelease(repository.root)
    with small.hub() as hub:
        yield open_job(load_release(small.root, "demo"), Folders(small.root, small.root / ".pipeline"), hub, keep=False)


def made(job, task, *files):
    """Files of the model folder that a task of an earlier release made, with its record."""
    outputs = []
    for file in files:
        path = job.workspace.path(quantize.path(file))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file)
        outputs.append(Output(quantize.path(file), len(file), path.stat().st_mtime_ns, "0" * 64))
    job.workspace.keep(Record(task, {}, {}, tuple(outputs)))


def test_what_an_earlier_release_made_goes_and_what_somebody_put_there_stays(job):
    present = job.layout.shards[0].name
    gone = "model-00001-of-00009.safetensors"
    made(job, quantize.name(present), present)
    made(job, quantize.name(gone), gone)
    made(job, quantize.SIDE_FILES, "config.json", "merges.txt")
    folder = job.workspace.path(quantize.MODEL)
    (folder / "notes.txt").write_text("mine")
    task = next(task for task in quantize.tasks(job) if task.name == quantize.SIDE_FILES)
    for need in task.needs:
        path = job.workspace.path(f"{download.BASE}/{need.removeprefix(download.base_task(''))}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of the base")
    task.run(SimpleNamespace(path=job.workspace.path))
    there = {path.name for path in folder.iterdir()}
    assert {gone, "merges.txt"}.isdisjoint(there)
    assert {present, "config.json", "tokenizer.json", "notes.txt"} <= there
    assert job.workspace.recorded(quantize.LANE.name) == [quantize.name(present), quantize.SIDE_FILES]


def test_shards_of_an_earlier_release_are_a_reason_to_clear_up(job):
    task = next(task for task in quantize.tasks(job) if task.name == quantize.SIDE_FILES)
    record = Record(task.name, task.settings, {})
    assert task.check(record) is None
    made(job, quantize.name("model-00001-of-00009.safetensors"), "model-00001-of-00009.safetensors")
    assert task.check(record) == "1 shard of an earlier release lies in the model folder"
    with contextlib.suppress(KeyError):
        plan(quantize.tasks(job), job.workspace)
    assert job.workspace.path(quantize.path("model-00001-of-00009.safetensors")).exists(), "a plan changes nothing"
