from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.card.front_matter import parse
from pipeline.card.licenses import License, license_of
from pipeline.errors import UsageError
from pipeline.manifest import File, Manifest
from pipeline.metadata.base_card import BaseCard

WEB = "https://huggingface.co"


def found(case, card, *, stated=None, files=("LICENSE", "config.json")):
    case = case.with_release(
        license=stated,
        hub="huggingface",
        base={"repo": "moonshotai/Kimi-K2.5", "revision": "c" * 40},
    )
    model = Manifest(tuple(File(path, 1) for path in files))
    return license_of(case.with_lock(model=model, base=replace(case.lock.base, card=card)).inputs)


def test_it_is_that_of_the_base_unless_the_release_says_another(demo):
    assert found(demo, BaseCard("mit")) == License("mit")
    assert found(demo, BaseCard("mit"), stated="apache-2.0") == License("apache-2.0")
    assert found(demo, None, stated="apache-2.0") == License("apache-2.0")
    own = BaseCard("other", "modified-mit", "LICENSE")
    assert found(demo, own) == License("other", "modified-mit", "LICENSE")
    assert found(demo, own, stated={"name": "mine", "link": "https://a.org"}) == License(
        "other", "mine", "https://a.org"
    )


@pytest.mark.parametrize(
    ("link", "files", "expected"),
    [
        ("", ("LICENSE.md",), "LICENSE.md"),
        ("", ("LICENSE-MODEL", "LICENSE-CODE", "LICENSE.txt"), "LICENSE.txt"),
        ("", ("LICENCE-MODEL", "licenses.py"), "LICENCE-MODEL"),
        ("", ("NOTICE", "LICENSE (old)"), ""),
        ("LICENSE", ("LICENSE",), "LICENSE"),
        ("LICENSE", (), f"{WEB}/moonshotai/Kimi-K2.5/blob/{'c' * 40}/LICENSE"),
        (f"{WEB}/moonshotai/Kimi-K2.5/blob/main/LICENSE", ("LICENSE",), "LICENSE"),
        (f"{WEB}/moonshotai/Kimi-K2.5/resolve/main/LICENSE?download=true", ("LICENSE",), "LICENSE"),
        (f"{WEB}/moonshotai/Kimi-K2.5/blob/main/LICENSE", (), f"{WEB}/moonshotai/Kimi-K2.5/blob/{'c' * 40}/LICENSE"),
        (f"{WEB}/somebody/else/blob/main/LICENSE", ("LICENSE",), f"{WEB}/somebody/else/blob/main/LICENSE"),
        ("https://example.org/license", ("LICENSE",), "https://example.org/license"),
    ],
)
def test_the_link_of_the_base_leads_to_the_file_that_comes_along_or_to_where_it_stays(demo, link, files, expected):
    assert found(demo, BaseCard("other", "modified-mit", link), files=files).link == expected


def test_without_a_link_the_license_file_that_comes_along_is_linked(demo):
    assert found(demo, None, stated={"name": "modified-mit"}) == License("other", "modified-mit", "LICENSE")


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (None, "demo/release.yaml has no `license`, and what the card of moonshotai/Kimi-K2.5 says is not known yet"),
        (BaseCard(), "has no `license`, and neither has the card of moonshotai/Kimi-K2.5 at that commit"),
        (BaseCard("other"), "the card of moonshotai/Kimi-K2.5 says `license: other` and does not name it"),
    ],
)
def test_without_a_license_or_a_name_of_it_one_error_says_what_to_write(demo, card, words):
    with pytest.raises(UsageError) as raised:
        found(demo, card)
    assert words in str(raised.value)
    assert "`license: apache-2.0`, or `license: {name: modified-mit, link: LICENSE}`" in raised.value.hint


def test_the_card_names_and_links_it(large):
    fields, body = parse(large.card())
    assert [fields[k] for k in ("license", "license_name", "license_link")] == ["other", "modified-mit", "LICENSE"]
    assert "`modified-mit`, whose text is in [LICENSE](LICENSE)" in body
