"""Every model is asked something that can be checked, in a language that it speaks."""

from __future__ import annotations

import re

import pytest

from pipeline.release.evaluated import Prompt
from pipeline.release.prompts import _ASKED, prompts


@pytest.mark.parametrize(
    ("languages", "first"),
    [
        ((), ["en"]),
        (("en",), ["en"]),
        (("de",), ["de"]),
        (("zh", "en"), ["en", "zh"]),
        (("pt-BR", "es", "fr"), ["pt", "es"]),
        (("tlh",), ["en"]),
        (("multilingual", "de", "de"), ["de"]),
    ],
)
def test_the_languages_of_the_base_are_spoken(languages, first):
    asked = prompts(languages)
    assert [prompt["ask"] for prompt in asked[::2]] == [_ASKED[code][0] for code in first]
    assert asked[1::2] == [_ASKED[code][2] for code in first]


@pytest.mark.parametrize("code", _ASKED)
def test_what_is_expected_can_be_found_in_an_answer(code):
    fact, expected, _ = _ASKED[code]
    assert Prompt(ask=fact, expect=expected)
    answer = expected.replace(r"\b", "").replace("[ií]", "í")
    assert re.search(expected, f"… {answer}.")
    assert not re.search(expected, fact), "the question itself must not answer it"
