"""`pipeline release demo --commit`, and the commit that a card names, in a repository of git."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest

from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository

TARGET = Repository("demo/SmolLM2-135M-Instruct-MLX-mixed")
DEMO = "releases/demo"


@pytest.fixture
def copy(released, tmp_path):
    """The released repository with the edit of its fixture committed, as somebody does who wants a record."""
    folder, workspace = tmp_path / "copy", released.workspace.name
    shutil.copytree(released.root, folder, ignore=shutil.ignore_patterns(workspace))
    # What is in there is never changed in place.
    locks = shutil.ignore_patterns("lock", "commit.lock")
    shutil.copytree(released.workspace, folder / workspace, copy_function=os.link, ignore=locks)
    copy = type(released)(folder)
    (copy.root / "said.txt").unlink()
    copy.git("commit", "--quiet", "--message", "Fewer windows", f"{DEMO}/release.yaml")
    for who in ("name", "email"):
        copy.git("config", f"user.{who}", "somebody")
    return copy


def lock(repository):
    return json.loads((repository.root / DEMO / "release.lock.json").read_text())


def test_what_was_published_is_recorded_and_nothing_else(copy):
    (copy.root / "notes of mine").write_text("loose")
    (copy.root / "releases/v3/notes.md").write_text("staged")
    copy.git("add", "releases/v3/notes.md")
    code, said = copy.run("release", "demo", "--commit")
    assert code == 0, said
    recorded = copy.git("rev-parse", "demo-v1^{commit}")
    assert f"recorded as demo-v1, commit {recorded[:12]}" in said
    assert copy.git("show", "--name-only", "--format=", "demo-v1^{commit}").split("\n") == [
        f"{DEMO}/README.md",
        f"{DEMO}/assets/bytes_by_class.png",
        f"{DEMO}/assets/quality_by_size.png",
        f"{DEMO}/evidence.json",
        f"{DEMO}/release.lock.json",
    ]
    assert copy.git("status", "--porcelain").split("\n") == ["A  releases/v3/notes.md", '?? "notes of mine"']
    published = Store(copy.hub).resolve(TARGET, "v1")
    assert f"Hub-commit: {published}" in copy.git("show", "--no-patch", "--format=%B", "demo-v1^{commit}")
    assert lock(copy)["target"]["commit"] == published
    code, said = copy.run("release", "demo", "--commit")
    assert (code, "Nothing to do" in said) == (0, True), said
    assert copy.git("rev-parse", "HEAD") == recorded, "the same command again adds nothing"


def test_a_run_that_was_killed_before_it_recorded_is_completed(copy):
    head = copy.git("rev-parse", "HEAD")
    code, said = copy.run("release", "demo", "--commit")
    copy.git("tag", "--delete", "demo-v1")
    copy.git("reset", "--quiet", head)
    code, said = copy.run("release", "demo", "--commit")
    assert code == 0, said
    assert copy.git("rev-parse", "demo-v1^{commit}", "HEAD~1").split() == [copy.git("rev-parse", "HEAD"), head]


@pytest.mark.parametrize("file", [f"{DEMO}/release.yaml", f"{DEMO}/notes.md", "releases/recipes/mixed-5-6-8.yaml"])
def test_inputs_that_are_not_committed_are_refused_before_any_task(copy, file):
    shutil.rmtree(copy.workspace / DEMO / "records")
    with (copy.root / file).open("a") as text:
        text.write("\n# changed\n")
    for arguments in (("--commit",), ("--commit", "--dry-run")):
        code, said = copy.run("release", "demo", *arguments)
        assert (code, "Traceback" in said) == (2, False), said
        assert f"{file} is changed and not committed" in " ".join(said.split())
    assert not (copy.workspace / DEMO / "records").exists()


def test_a_recorded_release_is_not_made_again(copy):
    assert copy.run("release", "demo", "--commit")[0] == 0
    copy.edit("demo", "windows: 2", "windows: 3")
    copy.git("commit", "--quiet", "--all", "--message", "More windows")
    code, said = copy.run("release", "demo", "--commit")
    assert code == 2, said
    assert re.search(r"the tag demo-v1 is at commit [0-9a-f]{12} already, and \S+ would\s+run again", said), said


@pytest.mark.parametrize("option", ["--commit", "--reviewed=sha256:" + "0" * 64])
def test_what_is_about_publishing_is_not_asked_of_half_a_release(copy, option):
    code, said = copy.run("release", "demo", "--until", "render", option)
    assert (code, "ends before it" in said) == (2, True), said


def test_only_the_card_that_was_reviewed_is_published(copy):
    code, digest = copy.run("card", "demo", "--digest")
    assert code == 0
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", digest)
    assert copy.run("release", "demo", "--reviewed", digest.strip())[0] == 0
    code, said = copy.run("release", "demo", "--reviewed", "sha256:" + "0" * 64)
    assert code == 5, said
    assert digest.strip() in "".join(said.split())
    code, said = copy.run("release", "demo", "--reviewed", digest.strip()[:-1])
    assert (code, "64 hexadecimal digits" in said) == (2, True), said


def test_a_card_that_is_rendered_in_this_very_run_is_compared_too(copy):
    for name in ("render", "upload"):
        shutil.rmtree(copy.workspace / DEMO / "records" / name)
    before = Store(copy.hub).resolve(TARGET, "main")
    code, said = copy.run("release", "demo", "--reviewed", "sha256:" + "0" * 64)
    assert code == 5, said
    assert "Nothing was published" in said
    assert Store(copy.hub).resolve(TARGET, "main") == before


def test_the_card_names_the_commit_of_its_inputs_and_keeps_to_it(copy):
    """From a first try that is not committed to one that is, while work elsewhere goes on."""
    (copy.root / DEMO / "release.lock.json").unlink()  # as before anything is published
    (copy.workspace / DEMO / "records/render/card.json").unlink()
    with (copy.root / DEMO / "release.yaml").open("a") as text:
        text.write("# a thought\n")
    assert copy.run("release", "demo", "--until", "render")[0] == 0
    assert lock(copy)["inputs"] == {"commit": copy.git("rev-parse", "HEAD"), "dirty": True}
    assert "with changes that were not committed" in (copy.root / DEMO / "README.md").read_text()
    copy.git("commit", "--quiet", "--message", "A thought", f"{DEMO}/release.yaml")
    inputs = copy.git("rev-parse", "HEAD")
    code, said = copy.run("release", "demo", "--until", "render")
    assert (code, "its inputs are committed now" in said) == (0, True), said
    assert lock(copy)["inputs"] == {"commit": inputs, "dirty": False}
    assert f"at commit `{inputs[:12]}`." in (copy.root / DEMO / "README.md").read_text()
    (copy.root / "elsewhere").write_text("work")
    copy.git("add", "elsewhere", DEMO)
    copy.git("commit", "--quiet", "--message", "Work elsewhere, and what happened")
    code, said = copy.run("release", "demo", "--until", "render")
    assert (code, "Nothing to do" in said) == (0, True), said
    assert copy.run("card", "demo", "--check")[0] == 0
