"""The folders of base and model hold what the release has, and nothing of an earlier one."""

from __future__ import annotations

import hashlib

import pytest
from small_release import SmallRelease

from pipeline.engine.workspace import Output, Record
from pipeline.errors import WorkspaceError
from pipeline.release.load import load_release
from pipeline.stages import download, quantize
from pipeline.stages.job import Folders, open_job
from pipeline.stages.leftovers import check, sweep


@pytest.fixture
def job(repository):
    small = SmallRelease(repository.root)
    with small.hub() as hub:
        yield open_job(load_release(small.root, "demo"), Folders(small.root, small.root / ".pipeline"), hub, keep=False)


def made(job, task, *paths):
    """Files that a task made some time ago, with its record."""
    outputs = []
    for path in paths:
        file = job.workspace.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        outputs.append(Output(path, len(path), file.stat().st_mtime_ns, hashlib.sha256(path.encode()).hexdigest()))
    job.workspace.keep(Record(task, {}, {}, tuple(outputs)))


def there(job):
    folders = (job.workspace.path(folder) for folder in (download.BASE, quantize.MODEL))
    return {f"{path.parent.name}/{path.name}" for folder in folders for path in folder.rglob("*")}


def test_what_an_earlier_release_made_goes_and_what_somebody_put_there_stays(job):
    shard = job.layout.shards[0].name
    made(job, download.base_task("config.json"), "base/config.json")
    made(job, download.base_task("model-00001-of-00007.safetensors"), "base/model-00001-of-00007.safetensors")
    made(job, quantize.name(shard), f"model/{shard}")
    made(job, quantize.name("model-00001-of-00009.safetensors"), "model/model-00001-of-00009.safetensors")
    made(job, quantize.SIDE_FILES, "model/config.json", "model/merges.txt")
    made(job, "validate/quality", "validate/quality.json")
    (job.workspace.path(quantize.MODEL) / "notes.txt").write_text("mine")
    assert sweep(job) == [
        "base/model-00001-of-00007.safetensors",
        "model/model-00001-of-00009.safetensors",
        "model/merges.txt",
    ]
    assert there(job) == {"base/config.json", f"model/{shard}", "model/config.json", "model/notes.txt"}
    assert job.workspace.recorded("download") == [download.base_task("config.json")]
    assert job.workspace.recorded("quantize") == [quantize.name(shard), quantize.SIDE_FILES]
    assert job.workspace.path("validate/quality.json").exists()
    assert sweep(job) == []


def test_what_was_altered_since_goes_too_and_what_is_elsewhere_stays(job, tmp_path):
    """A disk that flips a bit makes no file somebody's; a folder, a link, and a record that names another folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("model/sub/x")
    for name in ("altered", "folder", "sub/x", "card"):
        made(job, quantize.name(name), "card/README.md" if name == "card" else f"model/{name}")
    model = job.workspace.path(quantize.MODEL)
    (model / "altered").write_text("model/altered, by a bit")
    (model / "folder").unlink()
    (model / "folder").mkdir()
    (model / "sub/x").unlink()
    (model / "sub").rmdir()
    (model / "sub").symlink_to(outside)
    assert sweep(job) == ["model/altered"]
    assert (model / "folder").is_dir()
    assert (outside / "x").exists()
    assert job.workspace.path("card/README.md").exists()
    assert sweep(job) == []


def test_a_shard_whose_record_was_never_written_goes(job):
    """Killed after its last byte, or before; then the recipe was changed, and the shards have other names."""
    planned = job.layout.shards[0].name
    model = job.workspace.path(quantize.MODEL)
    model.mkdir(parents=True)
    left = ["model-00002-of-00009.safetensors", ".model-00003-of-00009.safetensors.part"]
    stays = [planned, f".{job.layout.shards[1].name}.part", "notes.txt"]
    for name in (*stays, *left):
        (model / name).write_text(name)
    assert sorted(sweep(job)) == sorted(quantize.path(name) for name in left)
    assert there(job) == {quantize.path(name) for name in stays}


@pytest.mark.parametrize("folder", [download.BASE, quantize.MODEL])
def test_what_mlx_lm_would_load_and_nobody_recorded_is_an_error(job, folder):
    path = job.workspace.path(folder) / "model-best.safetensors"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(WorkspaceError, match=r"model-best\.safetensors is no file of this release") as caught:
        check(job)
    assert "Move it out" in caught.value.hint
    assert sweep(job) == []
    assert path.read_text() == "mine"


def test_nothing_unrecorded_is_removed_where_the_folder_is_a_link(job, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    path = outside / "model-00002-of-00009.safetensors"
    path.write_text("somebody's")
    model = job.workspace.path(quantize.MODEL)
    model.parent.mkdir(parents=True, exist_ok=True)
    model.symlink_to(outside)
    assert sweep(job) == []
    assert path.exists()
    with pytest.raises(WorkspaceError, match="is no file of this release"):
        check(job)
