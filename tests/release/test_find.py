"""The release repository is found from anywhere inside of it."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.release.find import find_root, recipe_names, release_names


def test_the_root_is_found_from_a_folder_deep_inside(repository):
    inside = repository.root / "releases" / "small"
    assert find_root(inside) == find_root(repository.root) == repository.root.resolve()


def test_outside_of_a_release_repository_the_message_says_what_was_looked_for(tmp_path):
    (tmp_path / "releases").write_text("a file, not a folder")
    with pytest.raises(UsageError, match=r"there is no folder `releases` in .* or above it") as raised:
        find_root(tmp_path)
    assert "pipeline init" in raised.value.hint


def test_names_are_those_of_folders_with_a_release_file(repository):
    repository.release("another", "title: x")
    repository.release("recipes", "the folder of the recipes is no release")
    (repository.root / "releases" / "unfinished").mkdir()
    (repository.root / "releases" / "notes.md").write_text("x")
    assert release_names(repository.root) == ("another", "small")
    assert recipe_names(repository.root) == ("plain", "release")
