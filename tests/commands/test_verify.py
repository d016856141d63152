"""`verify`, `rollback` and `yank` as a person runs them: the real client, the embedded Hub, small files."""

from __future__ import annotations

import json
import shutil

import pytest
from small_release import CARD, MODEL, SHARDS, TARGET, SmallRelease

from pipeline.cli import main
from pipeline.hub.retry import NO_WAITING

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NEW = {**{name: MODEL[name] for name in ("config.json", "tokenizer.json", SHARDS[0])}, SHARDS[1]: b"z" * 20_000}
NEW_CARD = CARD.replace("A small one.", "A better one.")


@pytest.fixture
def small(repository, monkeypatch):
    monkeypatch.chdir(repository.root)
    monkeypatch.setenv(NO_WAITING, "1")
    return SmallRelease(repository.root)


@pytest.fixture
def run(capsys):
    """Runs the command line; answers its exit code and what it said on both streams."""

    def run(*arguments):
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def everything(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock"}


# verify


@pytest.mark.usefixtures("way")
def test_a_release_that_is_as_it_was_published(small, run):
    commit = small.release()
    before = everything(small.root)
    code, out, err = run("verify", "demo")
    assert code == 0, err
    assert f"tag v1, commit {commit[:12]}" in out
    assert "differ" not in out
    assert everything(small.root) == before


def test_every_file_is_there_for_programs(small, run):
    commit = small.release()
    code, out, _ = run("verify", "demo", "--json")
    said = json.loads(out)
    assert (code, said["agrees"], said["commit"], said["tag"]) == (0, True, commit, "v1")
    assert {file["path"] for file in said["files"]} == {
        *MODEL,
        "README.md",
        "assets/plot.png",
        "evidence.json",
        "SHA256SUMS",
        "release.lock.json",
    }
    assert {(file["local"], file["hub"]) for file in said["files"]} == {("same", "same")}


@pytest.mark.usefixtures("way")
def test_a_machine_without_the_workspace_looks_at_the_hub_alone(small, run):
    small.release()
    shutil.rmtree(small.model)
    code, out, _ = run("verify", "demo")
    assert code == 0
    assert "not looked at" in out
    code, out, _ = run("verify", "demo", "--json")
    rows = {file["path"]: (file["local"], file["hub"]) for file in json.loads(out)["files"]}
    assert rows[SHARDS[0]] == rows["config.json"] == ("not looked at", "same")


def test_local_files_that_differ_are_named(small, run):
    small.release()
    (small.model / SHARDS[0]).write_bytes(b"x" * 20_000)
    (small.model / SHARDS[1]).write_bytes(b"x")
    (small.model / "config.json").unlink()
    code, out, err = run("verify", "demo", "--json")
    assert code == 5
    assert "what is published of demo is not what releases/demo/release.lock.json says" in err
    rows = {file["path"]: (file["local"], file["hub"]) for file in json.loads(out)["files"]}
    assert rows.pop(SHARDS[0]) == ("other content", "same")
    assert rows.pop(SHARDS[1]) == ("other size", "same")
    assert rows.pop("config.json") == ("missing", "same")
    assert set(rows.values()) == {("same", "same")}


@pytest.mark.usefixtures("way")
def test_a_tag_that_names_another_commit_is_looked_at_file_by_file(small, run):
    first = small.release()
    lock = small.lock.model.files
    with small.hub() as hub:
        hub.untag(TARGET, "v1")
    second = small.release(card=NEW_CARD, model={**NEW, "extra.txt": b"more"})
    small.write_lock(lock, "v1", first)
    shutil.rmtree(small.model)
    code, out, _ = run("verify", "demo", "--json")
    said = json.loads(out)
    assert (code, said["agrees"]) == (5, False)
    assert said["problems"] == [f"the tag v1 names commit {second[:12]}, and the lock {first[:12]}"]
    rows = {file["path"]: file["hub"] for file in said["files"] if file["hub"] != "same"}
    assert rows.pop("release.lock.json") == rows.pop("SHA256SUMS") == "other size", "those of the second release"
    assert rows == {SHARDS[1]: "other content", SHARDS[2]: "missing", "extra.txt": "not of the release"}


def test_small_files_are_compared_too_without_the_workspace(small, run):
    commit = small.release()
    files = [
        {**row, "sha256": "0" * 64} if row["path"] == "tokenizer.json" else row for row in small.lock.model.to_json()
    ]
    small.write_lock(tuple(type(small.lock.model).from_json(files)), "v1", commit)
    shutil.rmtree(small.model)
    code, out, _ = run("verify", "demo", "--json")
    assert code == 5
    assert [f["path"] for f in json.loads(out)["files"] if f["hub"] != "same"] == [
        "SHA256SUMS",
        "release.lock.json",
        "tokenizer.json",
    ]


def test_a_card_that_is_not_the_committed_one(small, run):
    small.release()
    (small.folder / "README.md").write_text(NEW_CARD)
    code, out, _ = run("verify", "demo")
    assert code == 5
    assert "README.md" in out


def test_what_was_never_published_cannot_be_verified(small, run):
    code, _, err = run("verify", "demo")
    assert code == 2
    assert "names no published commit" in err
    small.write_lock((), "v1", None)
    assert run("verify", "demo")[0] == 2


# rollback


@pytest.mark.usefixtures("way")
def test_a_rollback_is_shown_and_then_done(small, run):
    small.release("v1")
    small.release("v2", NEW_CARD, NEW)
    code, out, _ = run("rollback", "demo", "--to", "v1", "--dry-run")
    assert code == 0
    assert small.titles()[0] == "Demo (v2)"
    for line in ("pointed at, 0 bytes sent", "small, fetched and sent back", SHARDS[2]):
        assert line in out
    code, _, err = run("rollback", "demo", "--to", "v1")
    assert code == 0, err
    assert small.tree() == small.tree("v1") != small.tree("v2")
    assert small.titles()[:2] == ["Roll back to v1", "Demo (v2)"]
    code, out, _ = run("rollback", "demo", "--to", "v1")
    assert code == 0
    assert "nothing to do" in out
    assert small.titles()[:2] == ["Roll back to v1", "Demo (v2)"]


def test_a_rollback_to_nowhere(small, run):
    small.release("v1")
    code, _, err = run("rollback", "demo", "--to", "v9")
    assert code == 4
    assert "has no tag v9" in err
    assert "Its tags are: v1." in err
    assert run("rollback", "demo", "--to", "main")[0] == 2


# yank


@pytest.mark.usefixtures("way")
def test_a_withdrawn_release_warns_keeps_its_files_and_loses_its_tag(small, run):
    commit = small.release("v1")
    tree = small.tree()
    code, out, _ = run("yank", "demo", "--reason", "Wrong template", "--dry-run")
    assert code == 0
    assert "has been withdrawn.** Wrong template." in out
    assert small.tags() == {"v1": commit}
    code, _, err = run("yank", "demo", "--reason", "Wrong template")
    assert code == 0, err
    assert small.tags() == {}
    assert small.titles()[0] == "Withdraw v1"
    assert b"**This release, `v1`, has been withdrawn.** Wrong template." in small.content("README.md")
    assert {p: d for p, d in small.tree().items() if p != "README.md"} == {
        p: d for p, d in tree.items() if p != "README.md"
    }
    assert small.tree(commit) == tree
    code, out, _ = run("verify", "demo")
    assert code == 5
    assert "the tag v1 was withdrawn" in out
    code, out, _ = run("yank", "demo", "--reason", "Wrong template")
    assert code == 0
    assert "nothing to do" in out
    assert small.titles()[:2] == ["Withdraw v1", "Demo (v1)"]


def test_it_goes_on_where_it_was_stopped(small, run, monkeypatch):
    small.release("v1")
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.hub.huggingface.HuggingFace.untag", _stop)
        with pytest.raises(SystemExit):
            run("yank", "demo", "--reason", "why")
    assert list(small.tags()) == ["v1"]
    code, out, _ = run("yank", "demo", "--reason", "why")
    assert code == 0
    assert "it warns already" in out
    assert small.tags() == {}
    assert small.titles()[:2] == ["Withdraw v1", "Demo (v1)"]


def _stop(*_):
    raise SystemExit(9)


def test_an_older_release_is_withdrawn_from_beneath_a_newer_one(small, run):
    first = small.release("v1")
    lock = small.lock.model.files
    second = small.release("v2", NEW_CARD, NEW)
    small.write_lock(lock, "v1", first)
    assert run("yank", "demo", "--reason", "why")[0] == 0
    assert small.tags() == {"v2": second}
    card = small.content("README.md").decode()
    assert "An earlier release of this model, `v1`, has been withdrawn" in card
    assert "A better one." in card


def test_nothing_is_withdrawn_that_this_release_did_not_make(small, run):
    small.release("v1")
    small.write_lock((), "v1", "f" * 40)
    code, _, err = run("yank", "demo", "--reason", "why")
    assert code == 4
    assert "and this release made ffffffffffff" in err
    assert list(small.tags()) == ["v1"]


def test_a_reason_has_words(small, run):
    small.release("v1")
    assert run("yank", "demo", "--reason", "  ")[0] == 2
