from __future__ import annotations

import fcntl
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import PipelineError
from pipeline.hub.local.contents import Put, Remove
from pipeline.hub.local.refusals import ReadOnly, RepositoryNotFound
from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository

BASE = Repository("demo/base")
DATE = "2024-05-06T07:08:09+00:00"


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    contents = {"model.safetensors": b"weights", "config.json": b"{}"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def listing(root):
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_an_import_has_the_same_id_in_every_store(tmp_path, files):
    ids = [Store(tmp_path / name).import_folder(BASE, files, "The base", DATE) for name in ("one", "two")]
    # Written down: releases pin this id, so it must not change between versions of this package either.
    assert ids == ["042ebb93e963f808683747bcb3cd8c9270670c2d"] * 2
    store = Store(tmp_path / "one")
    assert store.resolve(BASE, "main") == ids[0]
    assert store.commit_at(BASE, ids[0]).date == "2024-05-06T07:08:09.000Z"
    assert {path: entry.large for path, entry in store.tree(BASE, ids[0]).items()} == {
        "config.json": False,
        "model.safetensors": True,
    }


@pytest.mark.parametrize("change", ["file", "message", "date"])
def test_an_import_of_something_else_has_another_id(tmp_path, files, change):
    first = Store(tmp_path / "one").import_folder(BASE, files, "The base", DATE)
    if change == "file":
        files["config.json"].write_text("{ }")
    message = "Another" if change == "message" else "The base"
    date = "2024-05-06T07:08:10+00:00" if change == "date" else DATE
    assert Store(tmp_path / "two").import_folder(BASE, files, message, date) != first


def test_importing_again_changes_nothing(tmp_path, files):
    store = Store(tmp_path / "store")
    first = store.import_folder(BASE, files, "The base", DATE)
    before = listing(store.root)
    assert store.import_folder(BASE, files, "The base", DATE) == first
    assert listing(store.root) == before


def test_other_content_becomes_a_commit_on_main(tmp_path, files):
    store = Store(tmp_path / "store")
    first = store.import_folder(BASE, files, "The base", DATE)
    (tmp_path / "new.txt").write_text("new")
    second = store.import_folder(BASE, {"new.txt": tmp_path / "new.txt"}, "Another", DATE)
    assert store.import_folder(BASE, {"new.txt": tmp_path / "new.txt"}, "Another", DATE) == second
    assert [commit.id for commit in store.history(BASE, store.resolve(BASE, "main"))] == [second, first]
    assert sorted(store.tree(BASE, second)) == ["new.txt"]
    # The first import is still there under its own id: asking for it again must not put it on top.
    assert store.import_folder(BASE, files, "The base", DATE) == first
    assert store.resolve(BASE, "main") == second


def test_what_was_imported_does_not_change_with_the_file(tmp_path, files):
    store = Store(tmp_path / "store")
    commit = store.import_folder(BASE, files, "The base", DATE)
    with files["model.safetensors"].open("r+b") as file:
        file.write(b"WEIGHTS")
    blob = store.blobs.path(store.tree(BASE, commit)["model.safetensors"].sha256)
    assert blob.read_bytes() == b"weights"


def test_changes_wait_for_those_of_other_processes(tmp_path, files):
    store = Store(tmp_path / "store")
    store.import_folder(BASE, files, "The base", DATE)
    with (store.root / "commit.lock").open("ab") as lock, ThreadPoolExecutor(1) as thread:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = thread.submit(store.commit, BASE, "main", [Remove("config.json")], message="m", author="demo")
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result(timeout=10) == store.resolve(BASE, "main")


def test_an_unsafe_path_or_name_is_refused(tmp_path, files):
    store = Store(tmp_path / "store")
    with pytest.raises(PipelineError, match="not a plain relative path"):
        store.import_folder(BASE, {"../x": files["config.json"]}, "m", DATE)
    with pytest.raises(RepositoryNotFound):
        store.import_folder(Repository("../../x"), files, "m", DATE)
    assert not (tmp_path / "x").exists()


def test_has_looks_without_raising(tmp_path, files):
    store = Store(tmp_path / "store")
    assert not store.has(BASE)
    commit = store.import_folder(BASE, files, "The base", DATE)
    assert store.has(BASE)
    assert store.has(BASE, commit)
    assert not store.has(BASE, "0" * 40)
    assert not store.has(Repository("demo/base", "dataset"), commit)


def test_a_read_only_store_reads_and_never_writes(tmp_path, files):
    root = tmp_path / "store"
    assert not Store(root, readonly=True).has(BASE)
    assert not root.exists()
    commit = Store(root).import_folder(BASE, files, "The base", DATE)
    before = listing(root)
    store = Store(root, readonly=True)
    assert store.has(BASE, commit)
    writes = [
        lambda: store.import_folder(BASE, files, "Another", DATE),
        lambda: store.create(Repository("demo/new"), private=False, author="demo"),
        lambda: store.commit(BASE, "main", [Remove("config.json")], message="m", author="demo"),
        lambda: store.create_ref(BASE, "refs/tags/v1", commit),
        lambda: store.delete(BASE),
    ]
    for write in writes:
        with pytest.raises(ReadOnly):
            write()
    assert listing(root) == before


def test_a_commit_shows_only_once_its_ref_is_replaced(tmp_path, files):
    """A process killed at any point leaves the state before one of the renames: both of them are whole."""
    store = Store(tmp_path / "store")
    first = store.import_folder(BASE, files, "The base", DATE)
    refs = tmp_path / "store/repositories/models/demo/base/refs.json"
    shutil.copy(refs, tmp_path / "refs.before")
    entry = store.add_regular("new.txt", b"new")
    second = store.commit(BASE, "main", [Put(entry)], message="m", author="demo")
    assert sorted(store.tree(BASE, second)) == ["config.json", "model.safetensors", "new.txt"]

    shutil.copy(tmp_path / "refs.before", refs)  # killed after the commit was stored, before the rename
    assert Store(store.root).resolve(BASE, "main") == first
    again = Store(store.root).commit(BASE, "main", [Put(entry)], message="m", author="demo")
    assert json.loads(refs.read_text())["names"] == {"refs/heads/main": again}

    refs.unlink()  # killed while the repository was created
    assert not store.has(BASE, first)
    assert store.import_folder(BASE, files, "The base", DATE) == first
