"""What perplexity is measured on: a file of a Hub, a file of one's own, a sampled dataset."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest
from mlx_lm import perplexity

from pipeline.cli import main
from pipeline.errors import ReleaseFileError, UsageError
from pipeline.evaluate.dataset import Sample
from pipeline.evaluate.quality import Text
from pipeline.release.evaluated import Evaluation
from pipeline.stages import text

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ON_HUB = {"repo": "someone/prose", "revision": COMMIT, "file": "prose.txt"}
LEGAL = {"license": "mit", "attribution": "Somebody"}
WRITTEN = """\
    repo: demo/wikipedia-leads
    revision: d703d42e4509b4f02a7dc67b92a3bd729c0492a1
    file: evaluation.txt
"""


def job(root, written, **more):
    evaluate = Evaluation.model_validate({"text": {**written, **LEGAL}, "prompts": ("Hello?",), **more})
    return SimpleNamespace(release=SimpleNamespace(evaluate=evaluate), folders=SimpleNamespace(root=root))


def step(root):
    return SimpleNamespace(path=lambda output: root / output)


def test_a_text_on_a_hub_is_asked_for_as_it_always_was(tmp_path):
    asked = job(tmp_path, ON_HUB, window=8, windows=2)
    assert text.settings(asked) == {"text": ON_HUB, "window": 8, "windows": 2}, "else every release would measure again"
    assert text.needs(asked) == ("download/text/prose.txt",)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "prose.txt").write_bytes(b"Once upon a time.\r\n")
    assert text.read(asked, step(tmp_path)) == Text("Once upon a time.\n", 8, 2)
    assert text.predictions(asked) == 14


def test_a_file_that_cannot_hold_so_many_tokens_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "short.txt").write_text("Once upon")
    text.check(job(tmp_path, {"path": "short.txt"}, window=3, windows=3))
    with pytest.raises(UsageError, match=r"short\.txt has 9 bytes; 5 windows of 2 tokens need more"):
        text.check(job(tmp_path, {"path": "short.txt"}, window=2, windows=5))


def test_lines_of_a_hubs_file_are_one_text(tmp_path):
    written = {**ON_HUB, "file": "data/prose.jsonl", "field": "body"}
    asked = job(tmp_path, written, window=5, windows=2)
    assert text.settings(asked)["text"] == written
    (tmp_path / "text" / "data").mkdir(parents=True)
    (tmp_path / "text" / "data" / "prose.jsonl").write_text('{"body": "One."}\n{"body": "Two."}\n')
    assert text.read(asked, step(tmp_path)) == Text("One.\n\nTwo.", 5, 2)
    (tmp_path / "text" / "data" / "prose.jsonl").write_text('{"body": "One."}\n{"body": 2}\n')
    with pytest.raises(ReleaseFileError, match=r"data/prose.jsonl:2:1: its `body` must be text, not 2"):
        text.read(asked, step(tmp_path))


def test_a_file_of_ones_own_is_asked_for_with_its_digest(tmp_path):
    asked = job(tmp_path, {"path": "prose.txt"}, window=4, windows=1)
    (tmp_path / "prose.txt").write_text("Once.")
    before = text.settings(asked)
    assert before["text"] == {"path": "prose.txt", "sha256": hashlib.sha256(b"Once.").hexdigest()}
    assert text.needs(asked) == ()
    assert text.read(asked, step(tmp_path)) == Text("Once.", 4, 1)
    (tmp_path / "prose.txt").write_text("Twice.")
    assert text.settings(asked) != before


def test_a_file_that_went_away_is_told(tmp_path):
    asked = job(tmp_path, {"path": "prose.txt"})
    assert text.settings(asked)["text"]["sha256"] == ""
    with pytest.raises(UsageError, match=r"the evaluation text prose\.txt cannot be read: No such file"):
        text.read(asked, step(tmp_path))


def test_a_dataset_is_sampled_as_asked(tmp_path):
    asked = job(tmp_path, {"dataset": "some/years", "seed": 0, "sequence_length": 1000})
    assert text.settings(asked) == {"text": {"dataset": "some/years", "seed": 0}, "window": 1000, "windows": 256}
    assert text.needs(asked) == ()
    assert text.read(asked, step(tmp_path)) == Sample("some/years", 0, 1000, 256)
    assert text.read(job(tmp_path, {"dataset": "some/years"}), step(tmp_path)) == Sample("some/years", 123, 512, 256)


def test_what_is_left_out_is_as_mlx_lm_perplexity_has_it(monkeypatch, tmp_path):
    asked = {}

    class Parsed(Exception): ...

    def parsed(parser):
        asked.update(vars(ArgumentParser.parse_known_args(parser, ["--model", "x"])[0]))
        raise Parsed

    monkeypatch.setattr(ArgumentParser, "parse_args", parsed)
    with pytest.raises(Parsed):
        perplexity.main()
    ours = text.read(job(tmp_path, {"dataset": "x"}), step(tmp_path))
    assert (ours.seed, ours.window, ours.windows) == (asked["seed"], asked["sequence_length"], asked["num_samples"])


def test_a_dataset_in_the_repository_is_found_there_and_named_with_its_digest(tmp_path):
    (tmp_path / "years").mkdir()
    (tmp_path / "years" / "train.jsonl").write_text('{"text": "One."}\n')
    asked = job(tmp_path, {"dataset": "years"})
    before = text.settings(asked)["text"]
    assert text.read(asked, step(tmp_path)).dataset == str(tmp_path / "years")
    (tmp_path / "years" / "train.jsonl").write_text('{"text": "Two."}\n')
    assert {**text.settings(asked)["text"], "sha256": before["sha256"]} == before != text.settings(asked)["text"]


@pytest.fixture
def here(released, tmp_path, monkeypatch):
    """The released repository, where a text of one's own lies, with little of it asked for."""
    shutil.copytree(released.root, tmp_path / "copy", copy_function=shutil.copy2)
    repository = type(released)(tmp_path / "copy")
    repository.edit("demo", "window: 512", "window: 8")
    repository.edit("demo", "perplexity_increase: 10 %", "perplexity_increase: 500 %")
    repository.edit("demo", WRITTEN, "    path: texts/prose.jsonl\n")
    (repository.root / "texts").mkdir()
    lines = ["The city was founded by farmers.", "Its river freezes in winter, and people skate to work."]
    (repository.root / "texts/prose.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    monkeypatch.chdir(repository.root)
    return repository.root


def test_a_release_is_measured_on_a_text_of_ones_own_and_again_when_it_changes(here, capsys):
    assert main(["release", "demo", "--until", "render"]) == 0, capsys.readouterr()
    rows = json.loads((here / "releases/demo/evidence.json").read_text())["measurements"]
    texts = [row["settings"]["text"] for row in rows if row["measure"] == "perplexity"]
    assert texts[0] == texts[1]
    assert (texts[0]["path"], texts[0]["field"]) == ("texts/prose.jsonl", "text")
    card = (here / "releases/demo/README.md").read_text()
    assert "Measured on `texts/prose.jsonl` of the release repository: its first 2 windows of 8 tokens" in card
    assert "name: texts/prose.jsonl" in card
    capsys.readouterr()
    (here / "texts/prose.jsonl").write_text('{"text": "Something else."}\n')
    assert main(["plan", "demo"]) == 0
    assert "text.sha256" in capsys.readouterr().out


def test_without_the_package_a_sampled_release_does_not_begin(here, capsys, monkeypatch):
    release = here / "releases/demo/release.yaml"
    written = release.read_text().replace("path: texts/prose.jsonl", "dataset: some/years")
    release.write_text(written.replace("  window: 8\n", "").replace("  windows: 2\n", ""))
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["release", "demo"]) == 2
    told = capsys.readouterr()
    assert "needs the package `datasets`" in told.err
    assert told.out == ""
    assert main(["plan", "demo"]) == 0, "a plan measures nothing"
