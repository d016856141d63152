"""`pipeline recipe` as a person runs it."""

from __future__ import annotations

import json
import re

import pytest

from pipeline.cli import main
from pipeline.release.load import load_recipe


@pytest.fixture
def here(repository, monkeypatch):
    monkeypatch.chdir(repository.root)
    return repository.root


@pytest.mark.parametrize("action", ["import", "show", "solve"])
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


@pytest.fixture
def downloaded(here, smollm2_base):
    """The release repository, with the demo's base in the workspace as the download would leave it."""
    folder = here / ".pipeline/releases/demo/base"
    folder.mkdir(parents=True)
    for path in smollm2_base.iterdir():
        (folder / path.name).symlink_to(path)
    return here


# Two precisions, so that measuring takes seconds.
FEW = ("--allow", "embed_tokens|q_proj|k_proj=8", "--allow", ".=2 4")


def test_solve_proposes_what_a_release_can_use(downloaded, capsys):
    ask = ["recipe", "solve", "demo", *FEW]
    assert main([*ask, "--budget", "75 MB", "--name", "solved"]) == 0
    said = capsys.readouterr()
    assert "measuring 134 million weights" in said.err
    assert "of 75,000,000 bytes" in said.out

    assert main([*ask, "--budget", "75 MB", "--json"]) == 0
    again = capsys.readouterr()
    assert "measuring" not in again.err
    proposal = json.loads(again.out)
    assert 74_000_000 < proposal["bytes"] <= 75_000_000
    assert {row["precision"] for row in proposal["classes"]} == {"2 bit g64", "4 bit g64", "8 bit g64"}
    assert proposal["least_error"] <= proposal["error"] < 1.01 * proposal["least_error"] + 0.2
    assert (downloaded / "releases/recipes/solved.yaml").read_text().partition("version")[2] == proposal[
        "recipe"
    ].partition("version")[2]

    # The release would come out at exactly that size.
    release = downloaded / "releases/demo/release.yaml"
    release.write_text(release.read_text().replace("recipe: mixed-5-6-8", "recipe: solved"))
    assert main(["plan", "demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == proposal["bytes"]

    # The tightest budget is found to the byte, and what has to give is said.
    assert main([*ask, "--budget", "1 MB"]) == 2
    smallest = int(re.search(r"smallest possible size is ([\d,]+)", capsys.readouterr().err)[1].replace(",", ""))
    assert main([*ask, "--budget", f"{smallest - 1} B"]) == 2
    assert main([*ask, "--budget", f"{smallest} B", "--name", "solved"]) == 2
    assert "solved.yaml exists" in capsys.readouterr().err
    assert main([*ask, "--budget", f"{smallest} B"]) == 0
    printed = capsys.readouterr()
    assert "bits: 4" not in printed.out
    assert f"{smallest:,} of {smallest:,} bytes" in printed.err


def test_solve_says_when_the_base_is_not_there(here, capsys):
    assert main(["recipe", "solve", "demo", "--budget", "75 MB"]) == 2
    said = capsys.readouterr().err
    assert "3 of its 3 weight files are missing" in said
    assert "`pipeline release demo --until download` fetches it" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--budget", "much"), "--budget must be a size with its unit"),
        (("--budget", "75 MB", "--allow", "mlp=7"), "--allow 'mlp=7': a value has bits 7"),
        (("--budget", "75 MB", "--weight", "mlp"), "--weight must be PATTERN=VALUES"),
        (("--budget", "75 MB", "--name", "mixed-5-6-8"), "mixed-5-6-8.yaml exists"),
        (("--budget", "75 MB", "--allow", "mlp=4,128"), "fits its input dimension 576"),
    ],
)
def test_a_question_that_cannot_be_solved(arguments, words, here, capsys):
    assert main(["recipe", "solve", "demo", *arguments]) == 2
    assert words in capsys.readouterr().err
