"""What the other side of a diff holds: read from git, without a checkout, and never more than what is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.lock import Lock
from pipeline.release.load import load_release
from pipeline.stages import snapshots
from pipeline.stages.job import Folders

ROOT = Path(__file__).parents[2]


def git(root, *arguments):
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, check=True)


@pytest.fixture
def folders(repository):
    """The demo with what its run left, committed."""
    for name in ("README.md", "evidence.json", "release.lock.json"):
        shutil.copy(ROOT / "releases" / "demo" / name, repository.root / "releases" / "demo")
    for name in ("v2.5", "v3"):
        shutil.copy(ROOT / "releases" / name / "imported.json", repository.root / "releases" / name)
    return Folders(repository.root, repository.workspace)


def commit(root):
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "All")


def held(folders, name="demo", against=""):
    return snapshots.before(load_release(folders.root, name), folders, against)


def test_a_commit_holds_the_card_the_evidence_and_the_lock(folders):
    commit(folders.root)
    before = held(folders)
    folder = folders.release("demo")
    assert before.card == (folder / "README.md").read_text()
    assert before.lock == Lock.from_json((folder / "release.lock.json").read_text())
    assert len(before.evidence.measurements) == 6
    assert not before.remarks


def test_a_release_repository_inside_of_another_repository_is_read_where_it_is(folders, tmp_path):
    shutil.rmtree(folders.root / ".git")
    commit(tmp_path)
    assert held(folders).card == (folders.release("demo") / "README.md").read_text()


def test_a_link_in_a_commit_is_followed_nowhere(folders):
    secret = folders.root.parent / "secret"
    secret.write_text("# Mine\n")
    (folders.release("demo") / "README.md").unlink()
    (folders.release("demo") / "README.md").symlink_to(secret)
    commit(folders.root)
    assert held(folders).card is None


def test_a_release_that_was_not_there_yet_has_nothing(folders):
    shutil.move(folders.release("demo"), folders.root / "aside")
    commit(folders.root)
    shutil.move(folders.root / "aside", folders.release("demo"))
    before = held(folders)
    assert (before.card, before.lock, before.evidence.measurements) == (None, None, ())


def test_what_had_not_run_is_planned_as_it_was_asked_for_then(folders):
    commit(folders.root)
    recipe = folders.root / "releases" / "recipes" / "kimi-k2.5-2.5bit.yaml"
    recipe.write_text(recipe.read_text().replace("bits: 2", "bits: 8"))
    assert held(folders, "v2.5").lock.bytes == 350_252_158_976


def test_the_siblings_of_a_card_are_known_as_they_were(folders):
    commit(folders.root)
    path = folders.release("v3") / "imported.json"
    path.write_text(path.read_text().replace("216.976", "1.5"))
    before = held(folders, "v2.5")
    assert {"v3"} <= before.siblings.keys()
    assert "216.976" in before.siblings["v3"].to_json()


def test_evidence_that_nobody_can_read_is_a_remark(folders):
    table = json.loads((folders.release("demo") / "release.lock.json").read_text())
    (folders.release("demo") / "release.lock.json").write_text(json.dumps({**table, "schema": 99}))
    (folders.release("demo") / "evidence.json").write_text("[]")
    commit(folders.root)
    before = held(folders)
    assert (before.lock, before.evidence) == (None, None)
    assert [remark.partition(" of ")[0] for remark in before.remarks] == ["evidence.json", "release.lock.json"]


@pytest.mark.parametrize("against", ["demo2", "..", "/", "~", "-"])
def test_what_is_no_state_of_a_release_is_refused(against, folders):
    commit(folders.root)
    with pytest.raises(UsageError):
        held(folders, against=against)


def test_what_is_neither_file_nor_folder_is_refused_before_it_is_read(folders, tmp_path):
    commit(folders.root)
    os.mkfifo(tmp_path / "evidence.json")
    for path in ("/dev/zero", str(tmp_path / "evidence.json")):
        with pytest.raises(UsageError, match="is neither a file nor a folder"):
            held(folders, against=path)
