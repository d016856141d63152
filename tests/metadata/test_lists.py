"""The lists as they are shipped: where they are from, and what every release relies on."""

from __future__ import annotations

import re

import pytest

from pipeline.metadata.lists import FOLDER, identifiers

NAMES = ["keys", "languages", "libraries", "licenses", "pipeline-tags"]


def test_every_list_is_known_here():
    assert sorted(path.stem for path in FOLDER.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_list_says_where_and_when_it_is_from_and_is_sorted(name):
    text = (FOLDER / f"{name}.txt").read_text("utf-8")
    assert re.search(r"^# From https://github\.com/huggingface/[\w.-]+/blob/[0-9a-f]{40}/", text, re.MULTILINE)
    assert re.search(r"^# Made on \d{4}-\d{2}-\d{2} by `python -m pipeline\.metadata\.refresh`", text, re.MULTILINE)
    words = [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
    assert words == sorted(set(words))
    assert frozenset(words) == identifiers(name)


def test_what_a_release_needs_is_listed():
    assert {"apache-2.0", "mit", "llama3.3", "other"} <= identifiers("licenses")
    assert {"text-generation", "image-text-to-text"} <= identifiers("pipeline-tags")
    assert {"mlx", "transformers"} <= identifiers("libraries")
    assert {"en", "no", "yue"} <= identifiers("languages")
    assert "license_link" in identifiers("keys")
    assert not {"#", "From", "Made"} & identifiers("licenses")
