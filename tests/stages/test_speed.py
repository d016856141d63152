"""How fast the result is, and the figures of other programs beside it, on the way to the card."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.evidence import Measurement
from pipeline.stages.speed import gathered

SAMPLE = Path(__file__).parents[1] / "golden" / "release" / "llama-bench.json"
GGUF = "SmolLM2-135M-Instruct-Q4_K_M.gguf"
ONE = Measurement(
    "speed",
    "quantized",
    "a" * 64,
    {"prompt": [], "generation": []},
    {"trials": 2},
    {"mlx": "1"},
    {"chip": "M3"},
    "2026-01-01",
)


@pytest.fixture
def copy(released, tmp_path):
    """The released repository, to do anything with."""
    shutil.copytree(released.root, tmp_path / "copy", copy_function=shutil.copy2)
    return type(released)(tmp_path / "copy")


@pytest.fixture
def rendered(copy, monkeypatch, capsys):
    """Runs the release up to its card, in this process; returns what was said."""
    monkeypatch.chdir(copy.root)

    def render() -> str:
        capsys.readouterr()
        assert main(["release", "demo", "--until", "render"]) == 0
        told = capsys.readouterr()
        return f"\n{told.out}{told.err}"

    return render


def evidence(repository):
    return json.loads((repository.root / "releases/demo/evidence.json").read_text())["measurements"]


def test_a_length_that_was_timed_survives_a_kill(copy, rendered):
    asked = "  max_tokens: 120\n"
    copy.edit("demo", asked, asked + "  speed: {prompts: [48, 32], generation: [], trials: 1}\n")
    with copy.start("release", "demo", "--until", "render") as process:
        line = next(line for line in process.stdout if line.startswith("validate/speed/"))
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
    said = rendered()
    done = {name for name in ("prompt-48", "prompt-32") if f"\nvalidate/speed/{name}: " in said}
    assert len(done) == 1
    assert line.partition(":")[0].removeprefix("validate/speed/") not in done
    assert "\nvalidate/quality: " not in said, "nothing else is measured again"

    (speed,) = [row for row in evidence(copy) if row["measure"] == "speed"]
    assert [row["tokens"] for row in speed["values"]["prompt"]] == [48, 32]
    assert all(row["tokens_per_second"] > 0 for kind in speed["values"].values() for row in kind)
    assert {"backend": "cpu", "dtype": "float32", "trials": 1}.items() <= speed["settings"].items()
    card = (copy.root / "releases/demo/README.md").read_text()
    assert "| reading 48 tokens " in card
    lock = json.loads((copy.root / "releases/demo/release.lock.json").read_text())
    assert [row["context"] for row in lock["memory"]] == [4096, 8192]
    assert lock["memory"][0]["bytes"] == lock["bytes"] + 4096 * 2 * 3 * 64 * 30 * 2  # keys, values; heads; layers; bf16
    assert "## Will it run on my Mac?" in card


def test_imported_figures_go_on_the_card_and_change_nothing_else(copy, rendered):
    assert main(["evidence", "import", "demo", str(SAMPLE)]) == 0
    figure = "{subject: Another, harness: llama-perplexity, perplexity: {value: 21.5, standard_error: 0.2, text: wiki}}"
    (copy.root / "figures.yaml").write_text(f"reported: https://example.org\nfigures: [{figure}]\n")
    assert main(["evidence", "import", "demo", "figures.yaml"]) == 0
    said = rendered()
    assert "imported added" in said
    assert "\nvalidate/" not in said
    assert [row["subject"] for row in evidence(copy)][-3:] == ["quantized", GGUF, "Another"]
    card = (copy.root / "releases/demo/README.md").read_text()
    assert "llama-bench 7822 (8f91ca54e)" in card
    assert "By llama-perplexity on wiki; reported at <https://example.org>:\n" in card
    assert "| `Another` | 21.50 ± 0.20 |" in card
    assert "Nothing to do" in rendered()
    assert main(["card", "demo", "--check"]) == 0


def test_a_spoilt_file_of_imports_is_told_before_anything_is_done(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy.root)
    (copy.root / "releases/demo/imported.json").write_text("{}")
    assert main(["release", "demo"]) == 2
    told = capsys.readouterr()
    assert "releases/demo/imported.json does not hold evidence" in told.err
    assert told.out == ""


def timed(kind, tokens, **changes):
    return replace(ONE, values={**ONE.values, kind: [{"tokens": tokens}]}, **changes)


def test_lengths_that_were_timed_alike_are_one_measurement():
    one, two = timed("prompt", 1000), timed("generation", 500, measured_at="2026-01-03")
    (together,) = gathered([one, two, timed("prompt", 5000, measured_at="2026-01-02")])
    assert together.values == {"prompt": [{"tokens": 1000}, {"tokens": 5000}], "generation": [{"tokens": 500}]}
    assert together.measured_at == "2026-01-03"


@pytest.mark.parametrize(
    "changes",
    [{"machine": {"chip": "M1"}}, {"tools": {"mlx": "2"}}, {"settings": {"trials": 3}}, {"weights": "b" * 64}],
)
def test_lengths_that_were_timed_differently_stay_apart(changes):
    one, other = timed("prompt", 1000), timed("prompt", 5000, **changes)
    assert gathered([one, other]) == [one, other]
