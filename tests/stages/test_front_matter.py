"""What is said of a card's front matter before a release begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import CardInvalid, UsageError
from pipeline.metadata.base_card import BaseCard
from pipeline.release.load import load_release
from pipeline.stages.card_inputs import planned_lock
from pipeline.stages.front_matter import check_front_matter
from pipeline.stages.job import Folders, open_planned


@pytest.fixture
def planned(repository):
    def plan(card=None, *, stated=None, vision=False):
        """The demo, planned, with what its base's card says and what its release.yaml says instead."""
        if stated is not None:
            path = repository.root / "releases" / "demo" / "release.yaml"
            lines = [line for line in path.read_text().splitlines() if not line.startswith(("license:", "language:"))]
            path.write_text("\n".join([stated, *lines]) + "\n")
        found = open_planned(load_release(repository.root, "demo"), Folders(repository.root, repository.workspace))
        return replace(found, base=replace(found.base, card=card), layout=replace(found.layout, keeps_vision=vision))

    return plan


def test_what_agrees_with_the_base_is_not_worth_a_word(planned):
    assert check_front_matter(planned(BaseCard("apache-2.0", language=("en",)))) == ()
    assert check_front_matter(planned(BaseCard("apache-2.0", language=("en", "zh")), stated="")) == ()
    assert check_front_matter(planned(None, stated="license: mit")) == ()


def test_what_contradicts_the_base_is_said_in_one_remark(planned):
    stated = "license: apache-2.0\nlanguage: [en]"
    [told] = check_front_matter(planned(BaseCard("mit", language=("en", "zh")), stated=stated))
    assert told == (
        "releases/demo/release.yaml overrides the card of demo/SmolLM2-135M-Instruct: "
        "`license: apache-2.0`, where that says mit and `language: [en]`, where that says en, zh"
    )


def test_a_license_of_its_own_is_compared_by_its_name(planned):
    own = BaseCard("other", "modified-mit")
    stated = "license: {name: modified-mit, link: LICENSE}"
    assert check_front_matter(planned(own, stated=stated)) == ()
    assert check_front_matter(planned(BaseCard("other"), stated=stated)) == (), "it is only completed"
    [told] = check_front_matter(planned(own, stated="license: {name: mine, link: LICENSE}"))
    assert told.endswith("`license: {name: mine}`, where that says modified-mit")


def test_what_was_not_taken_from_the_base_is_said(planned):
    [told] = check_front_matter(planned(BaseCard("apache-2.0", language=("en",), dropped=("`a` stands twice", "b"))))
    assert told == (
        "not everything that the card of demo/SmolLM2-135M-Instruct says was taken from it: `a` stands twice; b"
    )


@pytest.mark.parametrize("card", [None, BaseCard(), BaseCard("other")])
def test_without_any_license_nothing_begins(planned, card):
    with pytest.raises(UsageError, match="license"):
        check_front_matter(planned(card, stated="language: [en]"))


def test_what_the_hub_would_refuse_at_the_end_is_refused_at_the_beginning(planned):
    with pytest.raises(CardInvalid, match=r'"license_link" names "LICENCE\.txt", which is not among the files'):
        check_front_matter(planned(stated="license: {name: mine, link: LICENCE.txt}"))


def test_the_task_is_that_of_the_base_only_where_the_model_still_sees(planned):
    card = BaseCard("apache-2.0", pipeline_tag="image-text-to-text", dropped=("`tags` stands twice",))
    assert planned_lock(planned(card)).pipeline_tag == "text-generation"
    assert planned_lock(planned(card, vision=True)).pipeline_tag == "image-text-to-text"
    assert planned_lock(planned(BaseCard(), vision=True)).pipeline_tag == "text-generation"
    assert planned_lock(planned(None, vision=True)).pipeline_tag == "text-generation"
    assert planned_lock(planned(card)).base.card == replace(card, dropped=())
