"""`pipeline init` as a person runs it: for models of many kinds, and on an embedded Hub like on the large one."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import tiny_base
import tiny_kimi

from pipeline.cli import main
from pipeline.hub.local.server import LocalHub
from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository
from pipeline.release.document import read
from pipeline.release.load import load_recipe, load_release
from pipeline.release.recipe import Precision

if TYPE_CHECKING:
    from pathlib import Path

CARD = "---\nlicense: apache-2.0\nlanguage: [en, de]\n---\n# A model\n"
DATE = "2026-01-01T00:00:00Z"


def put(hub: Path, repository: Repository, folder: Path) -> str:
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return Store(hub).import_folder(repository, files, "a model", DATE)


def everything(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file() and ".pipeline" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder to begin in; its embedded Hub is filled by the tests."""
    root = tmp_path / "mine"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a tiny base of an architecture, made once."""
    folders: dict[str, Path] = {}

    def build(architecture: str) -> Path:
        if architecture not in folders:
            folders[architecture] = tmp_path_factory.mktemp("bases") / architecture
            tiny_base.write(folders[architecture], architecture, files=2)
        return folders[architecture]

    return build


@pytest.fixture
def publish(empty, tmp_path, built):
    """Put a tiny base with a card into the embedded Hub: its commit."""

    def published(name: str, card: str = CARD, *, architecture: str = "llama", **config) -> str:
        folder = shutil.copytree(built(architecture), tmp_path / name)
        (folder / "README.md").write_text(card)
        if config:
            said = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**said, **config}))
        return put(empty / ".pipeline/hub", Repository(f"demo/{name}"), folder)

    return published


def begin(name: str, base: str, *more: str, hub: str = "local") -> int:
    return main(["init", name, "--base", f"demo/{base}", "--hub", hub, *more])


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe", "deepseek_v3", "gpt2"])
def test_what_is_begun_can_be_planned(architecture, empty, publish, capsys):
    commit = publish("tiny", architecture=architecture)
    assert begin("first", "tiny") == 0
    said = capsys.readouterr().out
    release = load_release(empty, "first")
    assert release.release.base.revision == commit
    assert release.release.license is None, "the base's card states it"
    assert f"demo/tiny at {commit[:12]}" in said
    assert {line.strip() for line in said.splitlines() if line.startswith("  releases/")} | {".gitignore"} == {
        *everything(empty)
    }
    for command in ("plan first", "release first --until render", "release first"):
        assert f"  pipeline {command}  " in said
    assert main(["plan", "first", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fits"] is True


def test_the_files_are_written_to_be_read(empty, tmp_path, capsys):
    tiny_kimi.write(tmp_path / "kimi")
    (tmp_path / "kimi/README.md").write_text(CARD)
    put(empty / ".pipeline/hub", Repository("demo/tiny-kimi"), tmp_path / "kimi")
    assert begin("first", "tiny-kimi", "--trust-remote-code") == 0
    release = (empty / "releases/first/release.yaml").read_text()
    assert "  note: The base was published with weights in 4 bits (INT4), which is where this starts.\n" in release
    assert "its tokenizer is Python code" in release.replace("Its", "its")
    assert "  trust_remote_code: true\n" in release
    assert "states the license apache-2.0 and the languages en, de" in release.replace("\n# ", " ")
    assert "    - ask: 'Was ist die Hauptstadt von Frankreich?'\n" in release
    recipe = load_recipe(empty, "tiny-kimi-7.1bit")
    [experts] = [rule for rule in recipe.rules if "switch_mlp" in rule.match]
    assert experts.decision == Precision(4, 32), "packed experts are taken as they are"
    assert max(map(len, release.splitlines())) <= 120


def test_code_of_a_base_is_never_trusted_by_itself(empty, tmp_path, capsys):
    tiny_kimi.write(tmp_path / "kimi")
    commit = put(empty / ".pipeline/hub", Repository("demo/tiny-kimi"), tmp_path / "kimi")
    assert begin("first", "tiny-kimi") == 2
    said = capsys.readouterr().err
    assert "the tokenizer of demo/tiny-kimi is Python code" in said
    assert f"Read its .py files at the commit {commit}" in said.replace("\n", " ")
    assert everything(empty) == {}


def test_trust_that_is_not_needed_is_not_written(empty, publish, capsys):
    publish("tiny")
    assert begin("first", "tiny", "--trust-remote-code") == 0
    assert "--trust-remote-code was not needed" in capsys.readouterr().out
    assert "trust_remote_code" not in (empty / "releases/first/release.yaml").read_text()


def test_a_model_that_is_quantized_already_is_not_given_more_bits(empty, tmp_path, capsys):
    from mlx_lm import convert

    tiny_base.write(tmp_path / "plain", "llama")
    convert(str(tmp_path / "plain"), str(tmp_path / "four"), quantize=True, q_bits=4, q_group_size=32)
    (tmp_path / "four/README.md").write_text(CARD)
    put(empty / ".pipeline/hub", Repository("demo/four"), tmp_path / "four")
    capsys.readouterr()
    assert begin("first", "four") == 0
    assert load_release(empty, "first").release.title == "four in 4 bit"
    assert "a quantization by mlx-lm itself" in load_release(empty, "first").release.base.note
    [rule, *others] = load_release(empty, "first").recipe.rules
    assert {one.decision for one in (rule, *others)} == {Precision(4, 32)}
    assert main(["plan", "first"]) == 0


def test_a_release_that_was_begun_goes_through(empty, publish, seeded_hub, capsys):
    shutil.copytree(seeded_hub, empty / ".pipeline/hub")
    publish("tiny")
    assert begin("first", "tiny", "--target", "demo/tiny-MLX") == 0
    release = load_release(empty, "first").release
    assert (release.evaluate.generate, release.thresholds.generation) == (False, False), "it has no chat template"
    assert main(["release", "first"]) == 0
    assert "first is published" in capsys.readouterr().out
    store = Store(empty / ".pipeline/hub")
    assert "model.safetensors" in store.tree(
        Repository("demo/tiny-MLX"), store.resolve(Repository("demo/tiny-MLX"), "v1")
    )
    card = (empty / "releases/first/README.md").read_text()
    assert "license: apache-2.0" in card
    # The next one of the same name on the Hub is its next edition, measured on the same text.
    assert begin("second", "tiny", "--target", "demo/tiny-MLX") == 0
    second = load_release(empty, "second").release
    assert second.target.tag == "v2"
    assert second.evaluate.text == release.evaluate.text
    assert not (empty / "releases/second/base.json").exists(), "the one of the first release says it already"


HOSTILE = [
    "---\nlicense: |\n  mit\n  recipe: evil\nlanguage: ['en]', \"de\\nhub: local\", '<script>']\n---\n",
    "---\nlicense: 'mit # x'\nlanguage: &a [*a]\n---\n",
    '---\nlicense: other\nlicense_name: "x\'\\ntrust_remote_code: true"\nlicense_link: javascript:alert(1)\n---\n',
    "---\n" + "[" * 5000 + "\n---\n# {{ 7*7 }}\n",
    "---\nlicense: !!python/object/apply:os.system ['false']\n---\n",
    "no front matter at all \u202e",
]


@pytest.mark.parametrize("card", HOSTILE)
def test_no_word_of_a_hostile_card_gets_into_a_file(card, empty, publish, capsys):
    publish("tiny", card)
    assert begin("first", "tiny") == 2
    assert "names no license that the Hub knows" in capsys.readouterr().err
    assert everything(empty) == {}
    assert begin("first", "tiny", "--license", "modified-mit") == 2
    assert '"license_link" is missing' in capsys.readouterr().err
    assert everything(empty) == {}
    assert begin("first", "tiny", "--license", "modified-mit=https://example.org/it") == 0
    asked = load_release(empty, "first").release
    assert (asked.license.written(), asked.language) == (
        {"name": "modified-mit", "link": "https://example.org/it"},
        (),
    )
    assert (asked.recipe, asked.hub, asked.base.trust_remote_code) == ("tiny-6.3bit", "local", False)
    written = (empty / "releases/first/release.yaml").read_text()
    assert not any(word in written for word in ("evil", "script", "javascript", "os.system", "7*7", "\u202e"))
    assert main(["plan", "first"]) == 0


def test_a_recipe_of_the_repository_is_taken_where_it_was_made_for_such_a_model(
    repository, seeded_hub, monkeypatch, capsys
):
    repository.start_from(seeded_hub)
    monkeypatch.chdir(repository.root)
    before = everything(repository.root)
    assert begin("mine", "SmolLM2-135M-Instruct") == 0
    said = capsys.readouterr().out
    assert "mixed-5-6-8, which is there already and fits" in said
    asked = load_release(repository.root, "mine").release
    assert asked.recipe == "mixed-5-6-8"
    assert asked.evaluate.text == load_release(repository.root, "demo").release.evaluate.text
    assert {*everything(repository.root)} - {*before} >= {"releases/mine/release.yaml"}
    assert everything(repository.root).items() >= before.items(), "nothing that was there has changed"
    assert main(["plan", "mine"]) == 0

    capsys.readouterr()
    assert begin("plain", "SmolLM2-135M-Instruct", "--recipe", "uniform-3bit-g64") == 0
    assert load_release(repository.root, "plain").release.title == "SmolLM2 135M Instruct in 3 bit"
    assert begin("wrong", "SmolLM2-135M-Instruct", "--recipe", "kimi-k2.5-2.5bit") == 2
    assert "matches no module of this model" in capsys.readouterr().err

    assert begin("small", "SmolLM2-135M-Instruct", "--budget", "80 MB") == 0
    small = load_release(repository.root, "small")
    assert small.release.fit.size == 80_000_000
    assert small.recipe.name not in {"mixed-5-6-8", "uniform-3bit-g64"}
    assert main(["plan", "small", "--json"]) == 0
    captured = capsys.readouterr().out
    assert 70_000_000 < json.loads(captured[captured.index("{") :])["bytes"] <= 80_000_000
    assert begin("tiny", "SmolLM2-135M-Instruct", "--budget", "20 MB") == 2
    assert "no recipe of `pipeline init` brings the weights below" in capsys.readouterr().err


def test_a_branch_or_tag_becomes_the_commit_that_it_names(empty, publish, capsys):
    first = publish("tiny")
    repository = Repository("demo/tiny")
    Store(empty / ".pipeline/hub").create_ref(repository, "refs/tags/old", first)
    assert begin("first", "tiny", "--revision", "old") == 0
    assert load_release(empty, "first").release.base.revision == first
    assert "# What `old` named" in (empty / "releases/first/release.yaml").read_text()
    assert begin("second", "tiny", "--revision", first) == 0
    assert "named" not in (empty / "releases/second/release.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("first", "--base", "demo/tiny"), "releases/first exists"),
        (("recipes", "--base", "demo/tiny"), "no release can be called recipes"),
        (("../up", "--base", "demo/tiny"), "NAME must be a plain name"),
        (("new", "--base", "tiny"), "--base must name the owner too: OWNER/NAME"),
        (("new", "--base", "demo/absent"), "holds no demo/absent at main"),
        (("new", "--base", "demo/tiny", "--revision", "v9"), "holds no demo/tiny at v9"),
        (("new", "--base", "demo/tiny", "--revision", "a branch"), "--revision must be a branch, a tag or a commit"),
        (("new", "--base", "demo/tiny", "--recipe", "mixed"), "there is no recipe 'mixed'"),
        (("new", "--base", "demo/tiny", "--budget", "much"), "--budget must be a size with its unit"),
        (("new", "--base", "demo/tiny", "--target", "demo/tiny"), "--target is the base itself"),
        (("new", "--base", "demo/tiny", "--target", "tiny"), "--target must name the owner too"),
        (("new", "--base", "demo/tiny", "--license", "Mine!"), "--license must be a license, not 'Mine!'"),
        (("new", "--base", "demo/unknown"), "mlx-lm cannot build the model type 'never_heard_of'"),
    ],
)
def test_mistakes_end_with_2_and_nothing_is_written(arguments, words, empty, publish, capsys):
    publish("tiny")
    publish("unknown", model_type="never_heard_of")
    (empty / "releases/first").mkdir(parents=True)
    (empty / "releases/first/notes.md").write_text("mine")
    before = everything(empty)
    assert main(["init", *arguments, "--hub", "local"]) == 2
    assert words in capsys.readouterr().err.replace("\n", " ")
    assert everything(empty) == before


def test_where_to_publish_is_the_account_that_is_signed_in(empty, publish, tmp_path, monkeypatch, capsys):
    publish("tiny")
    with LocalHub(empty / ".pipeline/hub", tokens={"secret": "somebody"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert begin("first", "tiny", hub="huggingface") == 2
        assert "nobody is signed in" in capsys.readouterr().err
        assert everything(empty) == {}
        monkeypatch.setenv("HF_TOKEN", "secret")
        assert begin("first", "tiny", hub="huggingface") == 0
        assert load_release(empty, "first").release.target.repo == "somebody/tiny-MLX-6.3bit"
        assert load_release(empty, "first").release.evaluate.text.dataset, "the Hub has no better text"
        # A text that can be pinned is preferred.
        (tmp_path / "text").mkdir()
        (tmp_path / "text/databricks-dolly-15k.jsonl").write_text('{"response": "People wrote this."}\n')
        commit = put(hub.store.root, Repository("databricks/databricks-dolly-15k", "dataset"), tmp_path / "text")
        shutil.rmtree(empty / "releases")
        assert begin("first", "tiny", hub="huggingface") == 0
        text = load_release(empty, "first").release.evaluate.text
        assert (text.revision, text.file, text.lines_field) == (commit, "databricks-dolly-15k.jsonl", "response")
    assert "hub" not in read(empty, "releases/first/release.yaml").value


def test_a_gitignore_that_is_there_stays(empty, publish):
    publish("tiny")
    (empty / ".gitignore").write_text("mine\n")
    assert begin("first", "tiny") == 0
    assert (empty / ".gitignore").read_text() == "mine\n"


def test_a_folder_that_cannot_be_written_is_one_clear_error(empty, publish, monkeypatch, capsys):
    publish("tiny")
    (empty / "releases/recipes").mkdir(parents=True)
    before = everything(empty)

    def fails(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", fails)
    assert begin("first", "tiny") == 2
    assert "releases/first cannot be written" in capsys.readouterr().err
    assert everything(empty) == before


def test_a_new_recipe_never_takes_the_name_of_another(empty, publish):
    publish("tiny")
    publish("Tiny")
    assert begin("first", "tiny") == 0
    # One that no longer fits, so that a new one of the same size is made.
    path = empty / "releases/recipes/tiny-6.3bit.yaml"
    path.write_text(path.read_text().replace("self_attn", "attention"))
    before = path.read_text()
    assert begin("second", "Tiny") == 0
    assert load_release(empty, "second").recipe.name == "tiny-6.3bit-2"
    assert path.read_text() == before


def test_a_file_that_would_say_something_else_than_was_meant_is_never_put_in_place(empty, publish, monkeypatch, capsys):
    from pipeline.release import annotated

    publish("tiny")
    monkeypatch.setattr(
        "pipeline.stages.scaffold.write",
        lambda keys, comments: annotated.write(keys, comments).replace("windows: 16", "windows: 17"),
    )
    assert begin("first", "tiny") == 2
    assert "would not say what was meant" in capsys.readouterr().err
    assert everything(empty) == {}
