"""`pipeline yank` as a person runs it: the real client, the embedded Hub, small files."""

from __future__ import annotations

import pytest
from small_release import NEW_CARD, NEW_MODEL

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.mark.usefixtures("way")
def test_a_withdrawn_release_warns_keeps_its_files_and_loses_its_tag(small, run):
    commit = small.release("v1")
    tree = small.tree()
    code, out, _ = run("yank", "demo", "--reason", "Wrong template", "--dry-run")
    assert code == 0
    assert out.endswith("\n\nNothing was changed.\n")
    assert "has been withdrawn.** Wrong template." in out
    assert small.tags() == {"v1": commit}
    code, out, err = run("yank", "demo", "--reason", "Wrong template")
    assert code == 0, err
    assert "Nothing was changed" not in out
    assert small.tags() == {}
    assert small.titles()[0] == "Withdraw v1"
    assert b"**This release, `v1`, has been withdrawn.** Wrong template." in small.content("README.md")
    marked = {"README.md", "SHA256SUMS"}
    assert {p: d for p, d in small.tree().items() if p not in marked} == {
        p: d for p, d in tree.items() if p not in marked
    }
    sums = dict(line.split("  ", 1)[::-1] for line in small.content("SHA256SUMS").decode().splitlines())
    assert sums == {p: d for p, d in small.tree().items() if p not in {"SHA256SUMS", ".gitattributes"}}
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
    second = small.release("v2", NEW_CARD, NEW_MODEL)
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
