from __future__ import annotations

import pytest

from pipeline.errors import ReleaseFileError
from pipeline.release.load import load_release


def load(repository, written):
    repository.release("small", repository.text.replace("license: apache-2.0\n", written, 1))
    return load_release(repository.root, "small").release


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("license: mit\n", ("mit", None, None)),
        ("license: {id: mit}\n", ("mit", None, None)),
        ("license: {name: modified-mit, link: LICENSE}\n", ("other", "modified-mit", "LICENSE")),
        ("license: {id: other, name: modified-mit}\n", ("other", "modified-mit", None)),
        ("license: {name: mine, link: 'https://example.org/a'}\n", ("other", "mine", "https://example.org/a")),
    ],
)
def test_it_is_an_identifier_or_a_name_and_a_link(repository, written, meant):
    stated = load(repository, written).license
    assert (stated.id, stated.name, stated.link) == meant


def test_it_may_be_left_out(repository):
    release = load(repository, "")
    assert release.license is None
    assert "license" not in release.model_dump(mode="json", exclude_none=True)


@pytest.mark.parametrize("written", ["mit", {"name": "modified-mit", "link": "LICENSE"}, {"name": "modified-mit"}])
def test_it_is_kept_as_short_as_it_can_be_written(repository, written):
    from json import dumps

    release = load(repository, f"license: {dumps(written)}\n")
    assert release.model_dump(mode="json", exclude_none=True)["license"] == written


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            "license: apache2\n",
            "license: must be the Hub's identifier of a license, such as `apache-2.0`, not 'apache2'",
        ),
        ("license: apache2\n", "did you mean `apache-2.0`?"),
        ("license: kimi-k2\n", "one that it does not know is written `{name: modified-mit, link: LICENSE}`"),
        ("license: other\n", "license: needs its `name`: `{name: modified-mit, link: LICENSE}`"),
        ("license: {link: LICENSE}\n", "license: needs its `name`"),
        ("license: {id: mit, name: mine}\n", "`mit` is known to the Hub: it has no `name` and no `link` of its own"),
        ("license: {name: Modified MIT}\n", "license.name: must be a short name in lower case, such as `modified-mit`"),
        (
            "license: {name: mine, link: ../LICENSE}\n",
            "license.link: must be a file that comes with the model, such as",
        ),
        ("license: {name: mine, lnk: LICENSE}\n", "license.lnk: unknown key; did you mean `link`?"),
        ("license: [mit]\n", "license: must be text, not a list"),
        ("license: 1\n", "license: must be text: put it in quotes, '1'"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(repository, written, words):
    with pytest.raises(ReleaseFileError) as raised:
        load(repository, written)
    assert words in str(raised.value)


def test_languages_are_those_that_the_hub_lists(repository):
    assert load(repository, "language: [en, no, yue, code]\n").language == ("en", "no", "yue", "code")
    with pytest.raises(ReleaseFileError, match=r"language\[0\]: must be the code of a language .*, not 'xx'"):
        load(repository, "language: [xx]\n")
