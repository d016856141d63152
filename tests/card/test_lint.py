from __future__ import annotations

import pytest

from pipeline.card.lint import check_card
from pipeline.errors import CardInvalid
from pipeline.manifest import File, Manifest


def test_a_card_that_links_a_file_which_does_not_come_along_is_not_written(large):
    lost = large.with_lock(model=Manifest((File("config.json", 1, "a" * 64),)))
    with pytest.raises(CardInvalid) as raised:
        lost.with_release(license={"name": "modified-mit", "link": "LICENSE"}).card()
    [told] = raised.value.problems
    assert told.startswith('the card of demo: "license_link" names "LICENSE", which is not among')
    assert told.endswith("; correct `license`")
    assert "releases/demo/release.yaml" in raised.value.hint


def test_every_problem_has_its_line_and_what_to_do(demo):
    with pytest.raises(CardInvalid) as raised:
        demo.with_lock(pipeline_tag="text-gen", model=Manifest(())).with_release(license={"name": "mine"}).card()
    told = str(raised.value).splitlines()
    assert len(told) == 2
    assert told[0].startswith('the card of demo: "pipeline_tag" with value "text-gen" is not in the official list')
    assert told[1] == 'the card of demo: "license_link" is missing, which `license: other` needs; correct `license`'
    assert "python -m pipeline.metadata.refresh" in raised.value.hint


def test_a_card_is_checked_as_it_is_about_to_be_uploaded(demo):
    card = demo.card()
    check_card("demo", card, {"config.json"})
    with pytest.raises(CardInvalid, match=r'"license" must be one of .*; correct `license`'):
        check_card("demo", card.replace("license: apache-2.0", "license: apache-3"), {"config.json"})
