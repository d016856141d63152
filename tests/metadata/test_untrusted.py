"""A card by somebody who means harm: it says little, it costs little, and it never does anything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.metadata.untrusted import LONGEST, texts

KEYS = ("license", "language")


def card(block):
    return f"---\n{block}\n---\n# A model\n"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("license: mit\nlanguage: [en, zh]", {"license": "mit", "language": ("en", "zh")}),
        ("license: mit # as ever\nlanguage:\n- en\n- no", {"license": "mit", "language": ("en", "no")}),
        ("license: 'a: b'\nother: {deep: [1, 2]}", {"license": "a: b"}),
        ("license:\nlanguage: ~", {}),
        ("license: null\nlanguage: []", {}),
        ("", {}),
        ("# only a comment", {}),
    ],
)
def test_texts_and_lists_of_texts_are_read_as_they_stand(block, said):
    assert texts(card(block), KEYS) == (said, ())


@pytest.mark.parametrize("text", [card("license: mit").replace("\n", "\r\n"), "\ufeff\n \n" + card("license: mit")])
def test_line_ends_and_a_byte_order_mark_are_as_the_hub_takes_them(text):
    assert texts(text, KEYS) == ({"license": "mit"}, ())


@pytest.mark.parametrize("text", ["", "# A model\n---\nlicense: mit\n---\n", "----\nlicense: mit\n----\n"])
def test_a_card_without_front_matter_says_nothing(text):
    assert texts(text, KEYS) == ({}, ())


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("language: {en: English}", "`language` is neither a text nor a list of texts"),
        ("language: [en, {zh: x}]", "`language` is neither a text nor a list of texts"),
        ("language: [[en]]", "`language` is neither a text nor a list of texts"),
        ("language: !!python/object/apply:os.system [id]", "`language` is neither a text nor a list of texts"),
        ("language: !!str en", "`language` is neither a text nor a list of texts"),
        ("a: &a en\nlanguage: *a", "`language` is neither a text nor a list of texts"),
        ("language: &a en", "`language` is neither a text nor a list of texts"),
        ("language: &a [en]", "`language` is neither a text nor a list of texts"),
        ("language: [en, *a]\na: &a zh", "`language` is neither a text nor a list of texts"),
        ("language: en\nlanguage: zh", "`language` stands twice"),
    ],
)
def test_a_value_of_another_kind_is_not_taken_and_the_rest_is(block, why):
    assert texts(card(f"license: mit\n{block}"), KEYS) == ({"license": "mit"}, (why,))


def test_a_key_that_stands_twice_is_not_taken_even_if_the_first_is_nothing():
    assert texts(card("license: {a: b}\nlicense: mit"), KEYS)[0] == {}


@pytest.mark.parametrize(
    "block",
    [
        "- license",
        "license",
        "[license, mit]",
        "!!python/object/apply:os.system [id]",
        "*a",
        "a: [",
        "a:\n\tb: c",
        'a: "\\UFFFFFFFF"',
        'a: "\\x"',
        "license: mit\n...\nlicense: other",
        "license: mit\n...\n--- {b: c}",
        "%TAG ! x\na: b",
    ],
)
def test_of_what_is_no_mapping_nothing_is_taken(block):
    said, why = texts(card(block), KEYS)
    assert said == {}
    assert len(why) == 1


BOMB = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [{', '.join(['*a'] * 9)}]\n" for n in range(50))


@pytest.mark.parametrize(
    "block",
    ["- " * 30_000, "a: " + "[" * 30_000, "{" * 30_000, "? " * 30_000, "a:\n" * 20_000, "a" * 60_000],
    ids=["dashes", "brackets", "braces", "questions", "keys", "one word"],
)
def test_a_flood_ends_in_one_sentence_at_most(block):
    said, why = texts(card(block), KEYS)
    assert said == {}
    assert len(why) <= 1


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (f"a: [{'x,' * 25_000}]", "its front matter has too many values"),
        (f"a: {'[' * 40}{']' * 40}", "its front matter is nested too deeply"),
    ],
)
def test_what_is_well_formed_may_still_be_too_much(block, why):
    assert texts(card(f"license: mit\n{block}"), KEYS) == ({}, (why,))


def test_an_alias_bomb_is_never_expanded():
    assert texts(card(f"{BOMB}license: mit"), KEYS) == ({"license": "mit"}, ())
    assert texts(card(f"{BOMB}license: *b49"), KEYS)[0] == {}


def test_only_the_beginning_of_a_huge_card_is_looked_at():
    assert texts(card("license: mit") + "x" * 5_000_000, KEYS)[0] == {"license": "mit"}
    said, why = texts("---\n" + "# long\n" * LONGEST + "license: mit\n---\n", KEYS)
    assert (said, why) == ({}, ("its front matter does not end within 64 KiB",))


@settings(max_examples=80, deadline=None)
@given(st.text(), st.text(alphabet="ab:-[]{}&*!%@`'\"|>?# \n\t,license"))
def test_no_text_at_all_is_an_error_and_no_remark_quotes_it(loose, structured):
    for text in (loose, card(loose), card(structured)):
        said, why = texts(text, KEYS)
        assert said.keys() <= set(KEYS)
        assert all(one.isascii() and one.isprintable() for one in why)
