"""A card that huggingface.co would refuse is refused in a rehearsal too, by the check and by the commit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from huggingface_hub import CommitOperationAdd

from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.cards import fields, problems


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("license: my-own", '"license" must be one of [afl-3.0, '),
        ("language: english", '"language" with value "english" is not valid. It must be an ISO 639-1, 639-2 or 639-3'),
        ("base_model: /workspace/base", '"base_model" with value "/workspace/base" is not valid. Use a model id from'),
        ("model-index:\n- name: a", '"model-index[0].results" is required'),
        ("tags: mlx", '"tags" must be an array'),
        ("- a", "should be a mapping of keys to values"),
        ("a: [", "Invalid YAML"),
    ],
)
def test_the_client_is_told_what_the_hub_would_tell_it(api, repo, block, words):
    card = f"---\n{block}\n---\n# A model\n"
    with pytest.raises(ValueError, match="Invalid metadata") as raised:
        api.create_commit(repo, [CommitOperationAdd("README.md", card.encode())], commit_message="a card")
    assert words in str(raised.value)


def test_a_good_card_and_keys_that_nobody_knows_are_taken(push, repo):
    card = "---\nlicense: mit\nlanguage: [en]\nbase_model: demo/base\nanything: {a: 1}\n2026-01-01: b\n---\n# A model\n"
    assert problems(card) == ([], [])
    assert push(repo, {"README.md": card.encode()})


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("# A model\n", "empty or missing yaml metadata in repo card"),
        ("---\n---\n# A model\n", "empty or missing yaml metadata in repo card"),
        ("---\npipeline_tag: text-gen\n---\n", '"pipeline_tag" with value "text-gen" is not in the official list'),
    ],
)
def test_a_warning_does_not_stop_anything(card, words, hub):
    errors, [warning] = problems(card)
    assert errors == []
    assert words in warning
    HuggingFace(hub.endpoint, "anything").validate_card(card)


_TIMES_NINE = (f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]" for before, after in pairwise("abcdefghijkl"))
BOMB = "\n".join(("a: &a [x, x, x, x]", *_TIMES_NINE))


@pytest.mark.parametrize("block", ["a: " + "[" * 5_000, "a: " + "[" * 5_000 + "]" * 5_000, BOMB, "a: &a [*a]"])
def test_no_card_keeps_the_hub_from_answering(block):
    assert fields(f"---\n{block}\n---\n") == {}


def test_what_a_card_says_is_told_as_json():
    assert fields("---\nlicense: mit\ndate: 2026-01-01\n---\n") == {"license": "mit", "date": "2026-01-01"}
    assert fields("# A model\n") == {}
