"""`pipeline card NAME --diff`: whatever it is compared with, in every format, as a person runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from card_repository import DEMO, WRITTEN, git, worsen

from pipeline.cli import main


def said(capsys, *arguments):
    """Exit code, and what was printed on either stream."""
    code = main(["card", "demo", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_nothing_changed_since_the_last_commit(committed, capsys):
    code, out, err = said(capsys, "--diff")
    assert (code, err) == (0, "")
    assert out.startswith("demo: nothing changed\nfrom HEAD (")


@pytest.mark.parametrize(("perplexity", "verdict"), [(19.0, "worse"), (9.0, "better"), (14.4, "within error")])
def test_one_edited_figure_is_one_line_in_every_format(perplexity, verdict, committed, capsys):
    worsen(committed, perplexity)
    code, out, _ = said(capsys, "--diff")
    assert code == 0
    assert [line.split("  ")[1:3] for line in out.splitlines() if line.startswith("  ")] == [[verdict, "perplexity"]]
    _, out, _ = said(capsys, "--diff", "--format", "json")
    table = json.loads(out)
    (row,) = table["figures"]
    assert (row["what"], row["verdict"], row["new"]) == ("perplexity", verdict, perplexity)
    assert not any(table[key] for key in ("settings", "sizes", "facts", "front_matter", "words", "remarks"))
    assert table["counts"][verdict] == sum(table["counts"].values()) == 1
    _, out, _ = said(capsys, "--diff", "--format", "github")
    shown = f"**{verdict}**" if verdict == "worse" else verdict
    assert len([line for line in out.splitlines() if line.startswith(f"| {shown} | perplexity |")]) == 1
    assert len([line for line in out.partition("<details>")[0].splitlines() if line.startswith("| ")]) == 2


def test_outside_of_git_the_written_card_is_compared(demo, capsys):
    path = demo / "README.md"
    path.write_text(path.read_text().replace("It needs", "It does not need"))
    code, out, _ = said(capsys, "--diff")
    assert code == 0
    assert "from releases/demo to what releases/demo renders now" in out
    assert "Run it\n      It [-does not need-] {+needs+}" in out
    assert "1 changed" in out


def test_any_revision_of_git_can_be_compared_with(committed, capsys):
    root = committed.parents[1]
    recipe = root / "releases" / "recipes" / "mixed-5-6-8.yaml"
    git(root, "tag", "--annotate", "--message", "x", "before")
    worsen(committed)
    said(capsys)
    git(root, "commit", "--quiet", "--all", "--message", "Worse")
    for revision in ("before", "HEAD~1", "HEAD^", git(root, "rev-parse", "before^{commit}")[:9], "refs/tags/before"):
        code, out, _ = said(capsys, "--diff", revision)
        assert (code, "demo: 1 worse" in out) == (0, True), revision
    assert "nothing changed" in said(capsys, "--diff", "main")[1]
    assert recipe.exists(), "nothing was checked out"
    assert not git(root, "status", "--porcelain")


def test_a_recipe_is_compared_before_anything_ran(committed, capsys):
    root = committed.parents[1]
    for name in WRITTEN:
        (committed / name).unlink()
    git(root, "commit", "--quiet", "--all", "--message", "Not released yet")
    recipe = root / "releases" / "recipes" / "mixed-5-6-8.yaml"
    recipe.write_text(recipe.read_text().replace("bits: 5", "bits: 4"))
    _, out, _ = said(capsys, "--diff", "--format", "json")
    sizes = {row["what"]: row for row in json.loads(out)["sizes"]}
    assert sizes["all weights"]["verdict"] == "better"
    assert sizes["mlp.up_proj"]["note"] == "5 bit g64 -> 4 bit g64"
    assert "self_attn.q_proj" not in sizes


def test_files_folders_and_other_releases_can_be_compared_with(committed, capsys, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in WRITTEN:
        shutil.copy(committed / name, elsewhere)
    worsen(committed)
    for against in (elsewhere, elsewhere / "evidence.json"):
        code, out, _ = said(capsys, "--diff", str(against))
        assert (code, "demo: 1 worse" in out) == (0, True), out
    _, out, _ = said(capsys, "--diff", str(elsewhere / "README.md"))
    assert "No evidence in" in out
    assert "changed  model-index.results.metrics.value" in out
    _, out, _ = said(capsys, "--diff", str(elsewhere / "release.lock.json"))
    assert "demo: nothing changed" in out
    assert "figures are not compared" in out
    code, out, _ = said(capsys, "--diff", "demo-refused")
    assert code == 0
    assert "from releases/demo-refused" in out
    assert "2 bit g64 -> 8 bit g64" in out


def test_what_is_published_can_be_compared_with(committed, capsys, repository):
    from pipeline.hub.local.store import TAG, Store
    from pipeline.hub.protocol import Repository

    code, _, err = said(capsys, "--diff", "published")
    assert code == 2
    assert "demo is not published" in err
    target = Repository("demo/SmolLM2-135M-Instruct-MLX-mixed")
    store = Store(repository.hub)
    only_card = {"README.md": committed / "README.md"}
    store.import_folder(target, only_card, "An old release", "2026-01-01T00:00:00Z")
    worsen(committed)
    _, out, _ = said(capsys, "--diff", "published")
    assert "at its head (" in out
    assert "No evidence in demo/SmolLM2-135M-Instruct-MLX-mixed" in out
    commit = store.import_folder(target, {name: DEMO / name for name in WRITTEN}, "A release", "2026-01-02T00:00:00Z")
    store.create_ref(target, f"{TAG}v1", commit)
    _, out, _ = said(capsys, "--diff", "published")
    assert f"from demo/SmolLM2-135M-Instruct-MLX-mixed at v1 ({commit[:7]})" in out
    assert "demo: 1 worse" in out


@pytest.mark.parametrize(
    "against",
    ["nothing", "-x", "--output=gone", "HEAD:releases", "main..HEAD", "HEAD\n", "", "\0", "x" * 500, ":/The"],
)
def test_what_is_nothing_of_that_is_one_error_that_lists_what_is(against, committed, capsys):
    code, out, err = said(capsys, f"--diff={against}")
    if not against:
        assert code == 0
        return
    assert (code, out) == (2, "")
    assert "there is nothing called" in err
    assert "demo-refused" in err
    assert "`published`" in err
    assert not git(committed.parents[1], "status", "--porcelain")


@pytest.mark.parametrize(("against", "close"), [("publishd", "published"), ("demo-refussed", "demo-refused")])
def test_what_is_nearly_something_is_asked_about(against, close, committed, capsys):
    code, _, err = said(capsys, f"--diff={against}")
    assert (code, f"did you mean `{close}`?" in err) == (2, True), err


def test_a_name_of_two_things_is_refused(committed, capsys):
    root = committed.parents[1]
    git(root, "tag", "demo-refused")
    code, _, err = said(capsys, "--diff", "demo-refused")
    assert code == 2
    assert "`demo-refused` is a release and a git revision" in err
    assert "refs/tags/demo-refused" in err
    for clear in ("refs/tags/demo-refused", "releases/demo-refused"):
        assert said(capsys, "--diff", clear)[0] == 0, clear
    git(root, "tag", "demo")
    assert said(capsys, "--diff", "demo")[0] == 0, "a release is not compared with itself"


def test_the_folder_of_a_release_is_that_release(committed, capsys, monkeypatch):
    named = said(capsys, "--diff", "demo-refused")[1]
    assert "2 bit g64 -> 8 bit g64" in named, "planned, since it did not run"
    for against in ("releases/demo-refused", "./releases/demo-refused/", str(committed.parent / "demo-refused")):
        assert said(capsys, "--diff", against) == (0, named, "")
    monkeypatch.chdir(committed.parent)
    assert said(capsys, "--diff", "demo-refused") == (0, named, "")
    assert "demo: nothing changed" in said(capsys, "--diff", "demo")[1]


def test_the_figures_of_a_model_from_elsewhere_can_be_compared_with(committed, capsys):
    folder = committed.parent / "gguf"
    shutil.copy(DEMO.parent / "gguf" / "imported.json", folder)
    for against in ("gguf", "releases/gguf"):
        code, out, _ = said(capsys, "--diff", against)
        assert code == 0
        assert "from releases/gguf, made elsewhere to what" in out
        assert "prompt of 20000 tokens, llama-bench" in out
        assert "No card in releases/gguf, made elsewhere: words are not compared." in out
    (folder / "imported.json").unlink()
    assert (
        "No evidence in releases/gguf, made elsewhere: figures are not compared." in said(capsys, "--diff", "gguf")[1]
    )
    assert "gguf" in said(capsys, "--diff", "nothing")[2]


def test_a_card_that_was_never_written_is_said_to_be_none_yet(committed, capsys):
    (committed / "README.md").unlink()
    code, out, err = said(capsys, "--check")
    assert (code, out) == (5, "")
    assert "there is no releases/demo/README.md yet" in err
    assert "`pipeline card demo`" in err


def test_a_folder_without_a_card_and_a_broken_file_are_said(committed, capsys, tmp_path):
    code, _, err = said(capsys, "--diff", str(tmp_path))
    assert code == 2
    assert "holds none of README.md, evidence.json" in err
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    code, out, _ = said(capsys, "--diff", str(broken))
    assert code == 0
    assert "does not hold evidence: it is not JSON" in out


def test_only_check_ends_with_5(committed, capsys):
    worsen(committed)
    assert said(capsys, "--diff")[0] == 0
    code, out, err = said(capsys, "--check")
    assert (code, out) == (5, "")
    assert "--diff" in err
    for wrong in (("--check", "--page", "x.html"), ("--check", "--open"), ("--format", "json")):
        assert said(capsys, *wrong)[0] == 2


def test_the_body_is_what_a_page_without_images_and_files_can_show(committed, capsys):
    worsen(committed)
    code, out, err = said(capsys, "--body")
    assert (code, err) == (0, "")
    assert out.startswith("# SmolLM2")
    assert "19.00" in out, "what the inputs render, whether or not it is written"
    assert "](assets/" not in out
    assert "\nImage: " in out
    assert not git(committed.parents[1], "status", "--porcelain", "--", "releases/demo/README.md")
    assert said(capsys, "--body", "--open")[0] == 2


def test_the_page_is_written_where_it_is_asked_for(committed, capsys, tmp_path):
    worsen(committed)
    page = tmp_path / "deep" / "page.html"
    code, out, err = said(capsys, "--diff", "--format", "github", "--page", str(page))
    assert code == 0
    assert "**worse**" in out
    assert f"{page} is written" in err
    assert "14.36" in page.read_text()
    code, out, _ = said(capsys, "--page", str(page))
    assert (code, out) == (0, "")
    code, _, err = said(capsys, "--page", str(tmp_path))
    assert (code, "is a folder" in err) == (2, True)


def test_open_shows_the_page_in_a_browser(committed, capsys, tmp_path, repository):
    shown = tmp_path / "shown"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {shown}\n')
    browser.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "card", "demo", "--open"],
        env={**os.environ, "BROWSER": f"{browser} %s"},
        capture_output=True,
        text=True,
        check=False,
    )
    page = repository.workspace / "pages" / "demo.html"
    assert done.returncode == 0, done.stderr
    assert shown.read_text() == page.resolve().as_uri()


def test_without_the_program_git_the_written_card_is_compared(committed):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "card", "demo", "--diff"],
        env={**os.environ, "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "from releases/demo to what releases/demo renders now" in done.stdout


def test_a_repository_that_git_refuses_is_not_taken_for_none(committed, capsys, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    code, out, err = said(capsys, "--diff")
    assert (code, out) == (2, "")
    assert "git refuses this repository" in err
    assert "safe.directory" in err


def test_the_plots_of_a_card_are_written_checked_and_removed(repository, monkeypatch, capsys):
    def run(*arguments):
        code = main(["card", "demo", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    monkeypatch.chdir(repository.root)
    folder = repository.root / "releases/demo"
    for name in ("release.lock.json", "evidence.json"):
        shutil.copy(DEMO / name, folder)
    plot = folder / "assets/bytes_by_class.png"
    code, out = run()
    assert (code, "releases/demo/assets/bytes_by_class.png is written" in out) == (0, True), out
    assert run("--check") == (0, "")
    before = plot.read_bytes()
    lock = folder / "release.lock.json"
    lock.write_text(lock.read_text().replace('"bytes": 30081024', '"bytes": 30081025', 1))
    assert run("--check")[0] == 5
    assert run()[0] == 0
    assert plot.read_bytes() != before
    plot.write_bytes(before)
    for spoil, told in (
        (lambda: None, "releases/demo/assets/bytes_by_class.png was drawn from other figures"),
        (plot.unlink, "releases/demo/assets/bytes_by_class.png is missing"),
        (
            lambda: (folder / "assets/speed.png").write_bytes(before),
            "assets/speed.png shows what the card no longer does",
        ),
    ):
        spoil()
        code, out = run("--check")
        assert (code, told in out, "`pipeline card demo` puts it right" in out) == (5, True, True), out
        run()
    assert run("--check") == (0, "")
    assert not (folder / "assets/speed.png").exists()


def test_a_card_is_checked_byte_by_byte(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository.root)
    folder = repository.root / "releases/demo"
    for name in ("release.lock.json", "evidence.json"):
        shutil.copy(DEMO / name, folder)
    assert main(["card", "demo"]) == 0
    written = (folder / "README.md").read_bytes()
    assert main(["card", "demo", "--check"]) == 0
    for other in (written.replace(b"\n", b"\r\n"), written + b"\xff"):
        (folder / "README.md").write_bytes(other)
        assert main(["card", "demo", "--check"]) == 5
        assert "README.md is not what its inputs render" in capsys.readouterr().err
