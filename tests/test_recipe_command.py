"""`pipeline recipe` as a person runs it."""

from __future__ import annotations

import json

import pytest

from pipeline.cli import main
from pipeline.release.load import load_recipe


@pytest.fixture
def here(repository, monkeypatch):
    monkeypatch.chdir(repository.root)
    return repository.root


@pytest.mark.parametrize("action", ["import", "show"])
def test_every_action_teaches_by_example(action, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["recipe", action, "--help"])
    assert ended.value.code == 0
    assert f"pipeline recipe {action}" in capsys.readouterr().out.partition("examples:")[2]


def test_show_says_what_every_class_gets_and_why(here, capsys):
    assert main(["recipe", "show", "mixed-5-6-8", "--for", "demo"]) == 0
    shown = capsys.readouterr().out
    assert "mixed-5-6-8 on demo/SmolLM2-135M-Instruct at 033cba4c4d4d" in shown
    assert "self_attn.k_proj       30  0-29    3.32 million  6 bit g64    20" in shown
    assert "The MLP holds most of the weights" in shown
    assert "211 modules, 134 million weights, 6.33 bits each." in shown


def test_show_for_programs(here, capsys):
    assert main(["recipe", "show", "mixed-5-6-8", "--for", "demo", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["base"]["repo"] == "demo/SmolLM2-135M-Instruct"
    assert [row["modules"] for row in shown["classes"]] == [1] + 7 * [30]
    assert shown["classes"][0]["rule"] == {
        "file": "releases/recipes/mixed-5-6-8.yaml",
        "line": 16,
        "match": "embed_tokens$",
    }


def test_import_writes_a_recipe_that_show_understands(here, tmp_path, capsys):
    listed = tmp_path / "overrides.txt"
    listed.write_text("embed_tokens=8\nlayers\\.(0|1|2|29)\\.mlp\\.down_proj=6\n")
    assert main(["recipe", "import", str(listed)]) == 0
    printed = capsys.readouterr().out
    assert main(["recipe", "import", str(listed), "--name", "mine"]) == 0
    assert (here / "releases/recipes/mine.yaml").read_text() == printed
    assert load_recipe(here, "mine").rules[1].layers is not None
    capsys.readouterr()
    assert main(["recipe", "show", "mine", "--for", "demo"]) == 0
    shown = capsys.readouterr().out
    assert "0-2,29" in shown
    assert "the recipe's `otherwise`: What mlx_lm.convert gives to all other modules." in shown


def test_import_never_overwrites(here, tmp_path, capsys):
    listed = tmp_path / "types.txt"
    listed.write_text("attn_v=q8_0\n")
    before = (here / "releases/recipes/mixed-5-6-8.yaml").read_bytes()
    assert main(["recipe", "import", str(listed), "--name", "mixed-5-6-8"]) == 2
    assert "releases/recipes/mixed-5-6-8.yaml exists" in capsys.readouterr().err
    assert (here / "releases/recipes/mixed-5-6-8.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "absent.txt"), "absent.txt cannot be read: No such file"),
        (("import", "{list}", "--name", "../x"), "--name must be a plain name"),
        (("import", "{list}", "--otherwise", "7"), "--otherwise has bits 7"),
        (("import", "{list}", "--layers", "0"), "--layers must be between 1 and 1000"),
        (("import", "{list}", "--as", "tensor-types"), "list.txt:1:1: the value '8' is no type"),
        (("show", "mixed", "--for", "demo"), "there is no recipe 'mixed'"),
        (("show", "mixed-5-6-8", "--for", "dmeo"), "did you mean `demo`"),
        (("show", "kimi-k2.5-2.5bit", "--for", "demo"), "matches no module of this model"),
    ],
)
def test_mistakes_end_with_2_and_what_to_do(arguments, words, here, tmp_path, capsys):
    listed = tmp_path / "list.txt"
    listed.write_text("lm_head=8\n")
    assert main(["recipe", *(word.format(list=listed) for word in arguments)]) == 2
    assert words in capsys.readouterr().err
