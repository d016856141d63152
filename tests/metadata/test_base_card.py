from __future__ import annotations

import json

import pytest

from pipeline.metadata.base_card import BaseCard, read_card


def card(block):
    return f"---\n{block}\n---\n# A model\n"


def test_what_a_card_states_is_taken_over():
    text = card("license: apache-2.0\nlanguage:\n- en\n- zh\npipeline_tag: image-text-to-text\ntags: [a, b]")
    assert read_card(text) == BaseCard("apache-2.0", language=("en", "zh"), pipeline_tag="image-text-to-text")


def test_a_license_of_its_own_comes_with_its_name_and_its_link():
    text = card("license: other\nlicense_name: modified-mit\nlicense_link: ./LICENSE\nlanguage: en")
    assert read_card(text) == BaseCard("other", "modified-mit", "LICENSE", ("en",))
    assert read_card(card("license: [mit]")) == BaseCard("mit")
    known = read_card(card("license: mit\nlicense_name: modified-mit\nlicense_link: LICENSE"))
    assert known == BaseCard("mit"), "a license that the Hub knows has no other name"


@pytest.mark.parametrize("text", ["", "# A model", card(""), card("tags: [mlx]")])
def test_a_card_that_states_nothing(text):
    assert read_card(text) == BaseCard()


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("license: MIT License", "`license` is not an identifier that the Hub knows licenses by"),
        ('license: "mit\\nbase_model: evil/model"', "`license` is not an identifier that the Hub knows licenses by"),
        ("license: [mit, apache-2.0]", "`license` states 2 values, of which none can be chosen"),
        ("license: {mit: true}", "`license` is neither a text nor a list of texts"),
        ("license_name: modified-mit", "`license_name` stands without `license: other`"),
        ("license_name: '<b>mine</b>'", "`license_name` is not a short name in lower case"),
        ("license_link: 'javascript:alert(1)'", "`license_link` is not a file of its repository or a web address"),
        ("license_link: ../../etc/passwd", "`license_link` is not a file of its repository or a web address"),
        ("pipeline_tag: '{{ 7*7 }}'", "`pipeline_tag` is not a task that the Hub knows"),
        ("language: English", "`language`: 1 of 1 values are no codes of ISO 639 that the Hub knows"),
        ("language: [{en: x}]", "`language` is neither a text nor a list of texts"),
    ],
)
def test_what_breaks_the_rules_is_dropped_and_said_in_words_of_ours(block, why):
    assert read_card(card(block)) == BaseCard(dropped=(why,))


def test_languages_that_are_codes_are_kept_beside_those_that_are_not():
    read = read_card(card("language: [en, English, en, zh, '<b>', fr-FR]"))
    assert read == BaseCard(
        language=("en", "zh"), dropped=("`language`: 3 of 6 values are no codes of ISO 639 that the Hub knows",)
    )


def test_thousands_of_languages_are_too_many():
    from pipeline.metadata.lists import identifiers

    read = read_card(card(f"language: [{', '.join(repr(one) for one in sorted(identifiers('languages')))}]"))
    assert len(read.language) == 400
    assert read.dropped == ("`language` states 8100 languages, of which the first 400 are taken",)


@pytest.mark.parametrize(
    "read",
    [
        BaseCard(),
        BaseCard("mit"),
        BaseCard("other", "modified-mit", "LICENSE", ("en", "zh"), "text-generation", ("`tags` stands twice",)),
    ],
)
def test_it_survives_json_and_leaves_out_what_is_not_stated(read):
    row = json.loads(json.dumps(read.to_json()))
    assert BaseCard.from_json(row) == read
    assert all(row.values())


@pytest.mark.parametrize(
    "row",
    [
        None,
        "mit",
        {"licence": "mit"},
        {"license": "{{ 7*7 }}"},
        {"license": ["mit", "gpl"]},
        {"language": ["en", "<script>"]},
        {"language": {"en": 1}},
        {"dropped": ["\N{RIGHT-TO-LEFT OVERRIDE}"]},
        {"dropped": "all"},
    ],
)
def test_what_is_stored_is_held_to_the_same_rules_again(row):
    with pytest.raises((TypeError, ValueError)):
        BaseCard.from_json(row)
