"""`pipeline cards REVISION`: one comment on everything that a change does to cards, as a person runs it."""

from __future__ import annotations

import json
import shutil

import pytest
from card_repository import git, worsen

from pipeline.cli import main


def cards(capsys, *arguments):
    code = main(["cards", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_cards_that_nothing_touches_are_not_told_of(committed, capsys):
    assert cards(capsys, "HEAD") == (0, "", "")


def test_a_card_that_was_rendered_again_is_told_of(committed, capsys, tmp_path):
    worsen(committed)
    assert main(["card", "demo"]) == 0
    capsys.readouterr()
    code, out, _ = cards(capsys, "HEAD", "--summary", str(tmp_path / "summary.md"))
    assert code == 0
    assert out.startswith("<!-- pipeline: the cards of this pull request -->\n## Model cards\n")
    assert "| **worse** | perplexity |" in " ".join(out.split())
    assert (tmp_path / "summary.md").read_text() == out


def test_a_release_that_has_not_run_is_told_of_when_it_changes(committed, capsys):
    path = committed.parent / "demo-refused/release.yaml"
    path.write_text(path.read_text().replace("title: ", "title: Very ", 1))
    code, out, _ = cards(capsys, "HEAD")
    assert code == 0
    assert "### demo-refused" in out
    assert "[!WARNING]" not in out
    assert "### demo:" not in out


def test_a_release_that_cannot_be_read_is_told_of_and_the_others_too(committed, capsys):
    worsen(committed)
    path = committed.parent / "demo-refused/release.yaml"
    path.write_text(path.read_text().replace("title: ", "titel: ", 1))
    (path.parent / "README.md").write_text("# A card\n")
    code, out, err = cards(capsys, "HEAD")
    assert code == 5, "the first of both"
    assert "releases/demo/README.md is not what its inputs render" in out
    assert "### demo-refused: no card" in out
    assert "releases/demo-refused/release.yaml:" in out
    assert "error: releases/demo/README.md" in err


def test_a_revision_that_is_none_is_said(committed, capsys):
    code, out, err = cards(capsys, "HEAD~9")
    assert (code, out) == (2, "")
    assert "there is no commit `HEAD~9`" in err


def test_a_release_that_is_removed_is_told_of(committed, capsys):
    shutil.rmtree(committed.parent / "demo-refused")
    shutil.rmtree(committed)
    code, out, _ = cards(capsys, "HEAD")
    assert code == 0
    for name in ("demo", "demo-refused"):
        assert f"### {name}: no card\n\n> [!WARNING]\n> releases/{name} is removed by this\n" in out
    assert out.index("demo:") < out.index("demo-refused:")


def test_a_figure_that_the_card_shows_the_same_is_told_of(committed, capsys):
    path = committed / "evidence.json"
    (old,) = [
        row["values"]["perplexity"]
        for row in json.loads(path.read_text())["measurements"]
        if (row["measure"], row["subject"]) == ("perplexity", "quantized")
    ]
    worsen(committed, old * (1 + 1e-9))
    assert main(["card", "demo"]) == 0
    assert "README.md is unchanged" in capsys.readouterr().err
    git(committed, "commit", "--quiet", "--message", "The plots as they are drawn now", "assets")
    code, out, _ = cards(capsys, "HEAD")
    assert (code, "| perplexity |" in out) == (0, True)


@pytest.mark.parametrize("file", ["assets/other.png", "release.lock.json"])
def test_any_file_of_a_card_counts(file, committed, capsys):
    path = committed / file
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
    code, out, _ = cards(capsys, "HEAD")
    assert (code, "### demo:" in out) == (0, True)


def test_the_revision_is_a_revision_whatever_else_has_its_name(committed, capsys):
    root = committed.parents[1]
    for name in ("docs", "demo-refused"):
        git(root, "branch", name)
    (root / "docs").mkdir()
    worsen(committed)
    assert main(["card", "demo"]) == 0
    capsys.readouterr()
    for name in ("docs", "demo-refused"):
        code, out, _ = cards(capsys, name)
        assert (code, "### demo: 1 worse" in out, "no card" in out) == (0, True, False), name


def test_why_there_is_no_card_is_said(committed, capsys):
    draft = committed.parent / "draft"
    draft.mkdir()
    (draft / "release.yaml").write_text("titel: A draft\n")
    code, out, _ = cards(capsys, "HEAD")
    assert code == 0
    assert "### draft: no card\n\n> [!WARNING]\n> releases/draft/release.yaml:" in out
