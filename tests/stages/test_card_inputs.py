"""A card says what made its files, and is a planned one when something else is asked for by now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import ReleaseFileError, UsageError
from pipeline.release.load import load_release
from pipeline.stages.card_inputs import inputs_of
from pipeline.stages.commit import _inputs
from pipeline.stages.job import Folders

ROOT = Path(__file__).parents[2]


def gathered(root, name="demo"):
    return inputs_of(load_release(root, name), Folders(root, root / "nowhere"))


@pytest.fixture
def made(repository):
    """The demo with the lock and the evidence that are committed."""
    for name in ("release.lock.json", "evidence.json"):
        (repository.root / "releases/demo" / name).write_bytes((ROOT / "releases/demo" / name).read_bytes())
    return repository


def test_what_the_lock_says_was_made_is_released_until_another_recipe_is_asked_for(made):
    before = gathered(made.root)
    assert before.released
    recipe = made.root / "releases/recipes/mixed-5-6-8.yaml"
    recipe.write_text(re.sub(r"bits: 5", "bits: 4", recipe.read_text(), count=1))
    after = gathered(made.root)
    assert not after.released
    assert after.lock.recipe.digest != before.lock.recipe.digest
    assert after.lock.bytes < before.lock.bytes
    assert after.evidence.measurements == (), "no figure of other files is told of these"


def test_words_of_a_recipe_make_no_other_files(made):
    recipe = made.root / "releases/recipes/mixed-5-6-8.yaml"
    recipe.write_text(re.sub(r"^summary: .*$", "summary: Other words.", recipe.read_text(), flags=re.MULTILINE))
    assert gathered(made.root).released


def test_a_model_of_another_base_is_no_sibling(made):
    folder = made.root / "releases/other"
    folder.mkdir()
    (folder / "elsewhere.yaml").write_text("title: Another\nlabel: Another\nbase: somebody/else\n")
    made.edit("demo", "recipe: mixed-5-6-8\n", "recipe: mixed-5-6-8\nsiblings: [other]\n")
    with pytest.raises(UsageError, match="other is a model of somebody/else, and demo, which names it as a sibling"):
        gathered(made.root)


def test_the_address_of_a_model_from_elsewhere_is_one_to_follow(made):
    folder = made.root / "releases/other"
    folder.mkdir()
    base = "demo/SmolLM2-135M-Instruct"
    (folder / "elsewhere.yaml").write_text(f"title: A\nlabel: A\nbase: {base}\naddress: 'javascript:alert(1)'\n")
    made.edit("demo", "recipe: mixed-5-6-8\n", "recipe: mixed-5-6-8\nsiblings: [other]\n")
    with pytest.raises(ReleaseFileError, match="must be an address that begins with https://"):
        gathered(made.root)


def test_the_inputs_that_a_card_names_the_commit_of_hold_its_siblings():
    files = _inputs(load_release(ROOT, "v2.5"))
    assert {"releases/v3/imported.json", "releases/gguf/elsewhere.yaml", "releases/v2.5/notes.md"} <= set(files)


def test_a_base_that_reads_images_is_said_to():
    assert "It reads text only" in (ROOT / "releases/v2.5/README.md").read_text("utf-8")
    assert "It reads text only" not in (ROOT / "releases/demo/README.md").read_text("utf-8")
