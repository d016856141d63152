"""What is kept from being published: a card that the Hub would refuse, and files under names that are taken."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from pipeline.errors import BaseModelError, CardInvalid
from pipeline.manifest import File, Manifest
from pipeline.release.load import load_release
from pipeline.stages import quantize, upload
from pipeline.stages.job import Folders, open_job
from pipeline.weights.base import BaseModel


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("license: nobodys-own", '"license" must be one of'),
        (
            "license: other\nlicense_name: mine\nlicense_link: LICENSE",
            '"license_link" names "LICENSE", which is not among',
        ),
    ],
)
def test_a_card_that_breaks_the_rules_beside_what_is_sent_is_not_sent(line, words, monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text(f"---\n{line}\n---\n# A model\n")
    monkeypatch.setattr(quantize, "names", lambda _: ())
    monkeypatch.setattr(upload, "_uploads", lambda *_: [])
    target = SimpleNamespace(repo="demo/result", tag="v1", private=False)
    nobody = object()  # whatever is asked of this Hub is an error
    job = SimpleNamespace(name="demo", reviewed="", release=SimpleNamespace(target=target), hub=nobody)
    commit = upload._commit(job, ())
    with pytest.raises(CardInvalid) as raised:
        commit.run(SimpleNamespace(path=lambda _: tmp_path / "README.md"))
    assert words in str(raised.value)


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
