"""The commit is the last chance to keep a card that the Hub would refuse from being sent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.errors import CardInvalid
from pipeline.stages import quantize, upload


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("license: nobodys-own", '"license" must be one of'),
        (
            "license: other\nlicense_name: mine\nlicense_link: LICENSE",
            '"license_link" names "LICENSE", which is not among',
        ),
    ],
)
def test_a_card_that_breaks_the_rules_beside_what_is_sent_is_not_sent(line, words, monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text(f"---\n{line}\n---\n# A model\n")
    monkeypatch.setattr(quantize, "names", lambda _: ())
    monkeypatch.setattr(upload, "_uploads", lambda *_: [])
    target = SimpleNamespace(repo="demo/result", tag="v1", private=False)
    nobody = object()  # whatever is asked of this Hub is an error
    job = SimpleNamespace(name="demo", release=SimpleNamespace(target=target), hub=nobody)
    commit = upload._commit(job, ())
    with pytest.raises(CardInvalid) as raised:
        commit.run(SimpleNamespace(path=lambda _: tmp_path / "README.md"))
    assert words in str(raised.value)
