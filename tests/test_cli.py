from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pipeline.cli import COMMANDS, main

HEAVY = {"mlx", "mlx_lm", "huggingface_hub", "transformers", "numpy", "pydantic", "jinja2", "rich", "yaml"}


def test_help_loads_nothing_heavy():
    program = "import sys; from pipeline.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(loaded.split())


@pytest.mark.parametrize("command", [one.__name__.rpartition(".")[2] for one in COMMANDS])
def test_every_command_teaches_by_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"pipeline {command}" in said.partition("examples:")[2]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("evidence",), "Imports figures of other programs"),
        (("evidence", "import"), "FILE output of `llama-bench -o json`, or a YAML or JSON file of figures"),
        (("recipe", "import"), "FILE overrides or tensor types"),
        (("compare",), "] A B"),
        (("compare",), "A the release to begin with"),
    ],
)
def test_what_has_to_be_given_is_explained(command, words, capsys):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    assert words in " ".join(capsys.readouterr().out.split())


def test_a_wrong_command_line_exits_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["relaese", "demo"])
    assert ended.value.code == 2
    assert "release" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("release", "dmeo"), r"did you mean `demo`"),
        (
            ("release", "demo", "--until", "publish"),
            r"there is no stage 'publish'\nhint: The stages are: seed, download",
        ),
        (("release", "demo", "--until", "rendr"), r"there is no stage 'rendr'; did you mean `render`\?"),
        (("evidence", "import", "gguff", "bench.json"), r"there is no release 'gguff'; did you mean `gguf`\?"),
        (("release", "demo", "--disk-window", "big"), r"--disk-window .*hint|--disk-window"),
        (("plan", "../demo"), r"there is no release"),
    ],
)
def test_mistakes_end_with_2_and_what_to_do(repository, arguments, words):
    code, said = repository.run(*arguments)
    assert code == 2, said
    assert re.search(words, said), said
    assert "Traceback" not in said


def test_a_card_needs_to_know_what_was_made_or_would_be(repository):
    for described in repository.root.glob("releases/*/base.json"):
        described.unlink()
    code, said = repository.run("card", "demo")
    assert code == 2, said
    assert "Run `pipeline release demo --until render` first" in said


def test_outside_a_release_repository_it_says_so(tmp_path):
    asked = subprocess.run(
        [sys.executable, "-m", "pipeline", "plan", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 2
    assert "there is no folder `releases`" in asked.stderr
