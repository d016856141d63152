"""What may be written under `signing`."""

from __future__ import annotations

import pytest

from pipeline.errors import ReleaseFileError
from pipeline.release.load import load_release

ISSUER = "issuer: 'https://token.actions.githubusercontent.com'"


def load(repository, signing):
    repository.release("small", f"{repository.text}signing: {signing}\n")
    return load_release(repository.root, "small").release.signing


def test_nobody_signs_when_nobody_is_named(repository):
    repository.release("small", repository.text)
    assert load_release(repository.root, "small").release.signing is None


def test_one_of_three_ways(repository):
    assert load(repository, "{public_key: keys/release.pub}").public_key == "keys/release.pub"
    assert load(repository, "{certificate: a.pem, chain: [b.pem]}").chain == ("b.pem",)
    assert load(repository, f"{{identity: me, {ISSUER}}}").identity == "me"


@pytest.mark.parametrize(
    ("signing", "words"),
    [
        ("{}", "needs exactly one of `public_key`, `certificate` and `identity`"),
        ("{public_key: a.pub, certificate: a.pem, chain: [a.pem]}", "needs exactly one of"),
        ("{certificate: a.pem}", "needs the `chain` of its `certificate`"),
        ("{identity: me}", "needs the `issuer` of its `identity`"),
        (f"{{public_key: a.pub, {ISSUER}}}", "signing.issuer: says something about `identity`, which is missing"),
        ("{public_key: a.pub, chain: [a.pem]}", "signing.chain: says something about `certificate`, which is missing"),
        ("{public_key: ../a.pub}", "must be the path of a file inside the repository"),
        ("{public_key: /home/me/a.pub}", "must be the path of a file inside the repository"),
        ("{private_key: a.key}", "private_key"),
    ],
)
def test_anything_else_is_an_error_with_its_line(repository, signing, words):
    with pytest.raises(ReleaseFileError) as raised:
        load(repository, signing)
    assert words in str(raised.value)
    assert f"releases/small/release.yaml:{len(repository.text.splitlines()) + 1}:" in str(raised.value)
