"""`pipeline verify` as a person runs it: the real client, the embedded Hub, small files."""

from __future__ import annotations

import json
import shutil

import pytest
from small_release import MODEL, NEW_CARD, NEW_MODEL, SHARDS, TARGET

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def everything(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock"}


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
    second = small.release(card=NEW_CARD, model={**NEW_MODEL, "extra.txt": b"more"})
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
