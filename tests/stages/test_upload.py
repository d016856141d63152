"""What would be published under a name that is taken already."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.errors import BaseModelError
from pipeline.manifest import File, Manifest
from pipeline.release.load import load_release
from pipeline.stages import upload
from pipeline.stages.job import Folders, open_job
from pipeline.weights.base import BaseModel


@pytest.mark.parametrize("name", ["evidence.json", "release.lock.json"])
def test_a_base_that_holds_a_file_of_a_name_that_is_rendered_is_refused_by_the_plan(name, repository):
    description = repository.root / "releases" / "demo" / "base.json"
    stored = BaseModel.from_json(description.read_text())
    more = Manifest((*stored.files, File(name, 2, "a" * 64)))
    description.write_text(dataclasses.replace(stored, files=more).to_json())
    folders = Folders(repository.root, repository.workspace)
    job = open_job(load_release(folders.root, "demo"), folders, object(), keep=False)
    with pytest.raises(BaseModelError, match=f"holds {name}"):
        upload.tasks(job)
