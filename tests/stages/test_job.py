"""What is known of the base: trusted by a plan, compared with the Hub by a run, shared by releases of the same base."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import BaseModelError
from pipeline.hub.connect import connect
from pipeline.release.load import load_release
from pipeline.stages.job import Folders, open_job
from pipeline.weights.base import BaseModel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(repository) -> Folders:
    return Folders(repository.root, repository.workspace)


@pytest.fixture
def description(repository) -> Path:
    return repository.root / "releases" / "demo" / "base.json"


def opened(folders, hub, name="demo", *, keep=True):
    with connect("local", hub, writable=False) as connected:
        return open_job(load_release(folders.root, name), folders, connected, keep=keep)


def test_a_run_leaves_a_description_that_the_hub_confirms(folders, seeded_hub, description):
    before = description.stat().st_mtime_ns
    opened(folders, seeded_hub)
    assert description.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.update({"note": "Made by hand."}),
        lambda table: table["files"][4].update({"sha256": "0" * 64}),
        lambda table: table["files"].pop(0),
    ],
    ids=["it says that it is not to be trusted", "another digest", "a file less"],
)
def test_a_run_replaces_a_description_that_is_not_that_of_the_hub(change, folders, seeded_hub, description):
    right = description.read_text()
    table = json.loads(right)
    change(table)
    stored = BaseModel.from_json(json.dumps(table))
    description.write_text(stored.to_json())
    assert opened(folders, seeded_hub, keep=False).base == stored
    assert opened(folders, seeded_hub).base.to_json() == right
    assert description.read_text() == right


def test_a_description_that_is_older_than_the_reading_of_cards_gets_what_the_card_says(
    folders, seeded_hub, description
):
    right = description.read_text()
    stored = BaseModel.from_json(right)
    description.write_text(dataclasses.replace(stored, card=None).to_json())
    assert opened(folders, seeded_hub, keep=False).base.card is None, "a plan needs no network"
    assert opened(folders, seeded_hub).base == stored
    assert description.read_text() == right


def test_a_shared_description_is_completed_where_it_lies(folders, seeded_hub, description):
    stored = BaseModel.from_json(description.read_text())
    other = folders.root / "releases" / "demo-refused" / "base.json"
    other.unlink()
    description.write_text(dataclasses.replace(stored, card=None).to_json())
    assert opened(folders, seeded_hub, "demo-refused").base == stored
    assert BaseModel.from_json(description.read_text()) == stored
    assert not other.exists()


def test_a_rehearsal_plans_before_its_hub_holds_the_base(folders, tmp_path):
    assert opened(folders, tmp_path / "empty").base.tensors


def test_a_run_does_not_begin_on_a_guess(folders, tmp_path, description):
    stored = BaseModel.from_json(description.read_text())
    description.write_text(dataclasses.replace(stored, note="Made by hand.").to_json())
    assert opened(folders, tmp_path / "empty", keep=False).base.note
    with pytest.raises(BaseModelError, match="holds no demo/SmolLM2-135M-Instruct at 033cba4c4d4d"):
        opened(folders, tmp_path / "empty")


def test_releases_of_the_same_base_share_a_description(folders, description):
    other = folders.root / "releases" / "demo-refused" / "base.json"
    other.unlink()
    no_hub = object()
    shared = open_job(load_release(folders.root, "demo-refused"), folders, no_hub, keep=False).base
    assert shared == BaseModel.from_json(description.read_text())


def test_a_description_of_another_base_is_not_shared(folders, tmp_path, description):
    stored = BaseModel.from_json(description.read_text())
    shutil.rmtree(folders.root / "releases" / "demo-refused")
    description.write_text(dataclasses.replace(stored, revision="1" * 40).to_json())
    with pytest.raises(BaseModelError, match="holds no"):
        opened(folders, tmp_path / "empty", keep=False)
