"""Signatures over digests: what is signed by this program holds for others, and what was changed does not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from signing_keys import certificate, key_pair

from pipeline.errors import PipelineError, UsageError
from pipeline.manifest import File, Manifest, describe
from pipeline.release.signing import Signing
from pipeline.stages import signature
from pipeline.stages.signature import KEY, PASSPHRASE, Signer, signed

CONTENTS = {
    "model.safetensors": b"weights" * 1000,
    "assets/plot.png": b"drawn",
    "README.md": b"# A model\n",
    "SHA256SUMS": b"sums\n",
}


@pytest.fixture
def model(tmp_path):
    """A copy as `hf download` makes it."""
    folder = tmp_path / "model"
    for name, content in {**CONTENTS, ".gitattributes": b"x", ".cache/huggingface/a.metadata": b"x"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def files(model):
    return signed(Manifest(tuple(describe(model / name, name) for name in CONTENTS)))


@pytest.fixture(params=["key", "certificate"])
def signer(request, tmp_path, monkeypatch):
    key = key_pair(tmp_path)
    monkeypatch.setenv(KEY, str(tmp_path / "release.key"))
    if request.param == "key":
        return Signer(Signing(public_key="release.pub"), tmp_path)
    root = key_pair(tmp_path, "root")
    certificate(tmp_path, "ca", root)
    certificate(tmp_path, "signer", key, "ca", root)
    return Signer(Signing(certificate="signer.pem", chain=("ca.pem",)), tmp_path)


def others_verify(signer, model):
    """The library's own command, which reads every file: its exit code."""
    if signer.signing.public_key:
        how = ["key", "--public_key", signer.root / signer.signing.public_key]
    else:
        how = ["certificate", "--certificate_chain", signer.root / signer.signing.chain[-1]]
    command = [sys.executable, "-m", "model_signing", "verify", how[0], model, "--signature", model / "model.sig"]
    done = subprocess.run([*command, *how[1:]], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_it_holds_for_us_and_for_others_until_a_bit_flips(signer, model, files):
    signer.check()
    (model / "model.sig").write_bytes(signer.sign("demo/model", files))
    assert signer.wrong(files, model / "model.sig") is None
    (model / "README.md").write_text("# Withdrawn\n")  # as a withdrawal does
    assert others_verify(signer, model) == (0, "")
    weights = bytearray(CONTENTS["model.safetensors"])
    weights[3000] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    code, said = others_verify(signer, model)
    assert code == 1
    assert "model.safetensors" in said
    changed = signed(Manifest(tuple(describe(model / name, name) for name in CONTENTS)))
    assert signer.wrong(changed, model / "model.sig") == "it is of other files than these: model.safetensors"


def test_files_that_are_added_or_missing_are_other_files(signer, model, files):
    path = model / "model.sig"
    path.write_bytes(signer.sign("demo/model", files))
    more = Manifest((*files, File("code.py", 1, "0" * 64)))
    assert signer.wrong(more, path) == "it is of other files than these: code.py"
    assert signer.wrong(Manifest(files.files[1:]), path).endswith(files.files[0].path)


def test_no_file_is_read_to_sign_it(signer, model, files):
    for name in CONTENTS:
        (model / name).unlink()
    (model / "model.sig").write_bytes(signer.sign("demo/model", files))
    assert signer.wrong(files, model / "model.sig") is None


def test_what_somebody_else_signed_does_not_hold(model, files, tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        certificate(folder, "signer", key_pair(folder))
    monkeypatch.setenv(KEY, str(theirs / "release.key"))
    for asked in (Signing(public_key="release.pub"), Signing(certificate="signer.pem", chain=("signer.pem",))):
        (model / "model.sig").write_bytes(Signer(asked, theirs).sign("demo/model", files))
        assert Signer(asked, theirs).wrong(files, model / "model.sig") is None
        assert Signer(asked, ours).wrong(files, model / "model.sig")
        with pytest.raises(PipelineError) as caught:
            Signer(asked, ours).check()
        assert KEY in f"{caught.value} {caught.value.hint}"


def test_another_certificate_of_the_same_authority_is_another_signer(model, files, tmp_path, monkeypatch):
    root = key_pair(tmp_path, "root")
    certificate(tmp_path, "ca", root)
    for name in ("ours", "theirs"):
        certificate(tmp_path, name, key_pair(tmp_path, name), "ca", root)
    monkeypatch.setenv(KEY, str(tmp_path / "theirs.key"))
    ours, theirs = (Signer(Signing(certificate=f"{n}.pem", chain=("ca.pem",)), tmp_path) for n in ("ours", "theirs"))
    (model / "model.sig").write_bytes(theirs.sign("demo/model", files))
    assert theirs.wrong(files, model / "model.sig") is None
    assert ours.wrong(files, model / "model.sig") == "it is by another certificate"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"verificationMaterial": {"publicKey": {}}}', b"\xff\xfe"])
def test_whatever_stands_in_a_signature_file_is_no_signature(signer, files, content, tmp_path):
    path = tmp_path / "hostile.sig"
    path.write_bytes(content)
    assert signer.wrong(files, path)


def test_a_signature_that_was_changed_does_not_hold(signer, model, files):
    path = model / "model.sig"
    bundle = json.loads(signer.sign("demo/model", files))
    envelope = bundle["dsseEnvelope"]
    flipped = "A" if envelope["payload"][40] != "A" else "B"
    envelope["payload"] = envelope["payload"][:40] + flipped + envelope["payload"][41:]
    path.write_text(json.dumps(bundle))
    assert signer.wrong(files, path)


@pytest.mark.parametrize("value", ["", "missing.key", "wrong passphrase", "the key itself", "an RSA key"])
def test_what_cannot_sign_says_so_before_anything_and_tells_no_secret(value, tmp_path, monkeypatch, capfd):
    key_pair(tmp_path, passphrase="a secret sentence")
    monkeypatch.setenv(PASSPHRASE, "another secret sentence")
    private = (tmp_path / "release.key").read_text()
    (tmp_path / "rsa.key").write_text("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n")
    known = {"": "", "wrong passphrase": str(tmp_path / "release.key"), "the key itself": private}
    known["an RSA key"] = str(tmp_path / "rsa.key")
    monkeypatch.setenv(KEY, known.get(value, value))
    with pytest.raises(PipelineError) as caught:
        Signer(Signing(public_key="release.pub"), tmp_path).check()
    words = f"{caught.value} {caught.value.hint} {capfd.readouterr()}"
    assert KEY in words
    assert PASSPHRASE in words
    assert "secret sentence" not in words
    assert private.splitlines()[1] not in words
    assert caught.value.__cause__ is None


def test_an_encrypted_key_does_not_go_with_a_certificate_and_the_error_says_it(tmp_path, monkeypatch):
    certificate(tmp_path, "signer", key_pair(tmp_path, passphrase="a secret sentence"))
    monkeypatch.setenv(KEY, str(tmp_path / "release.key"))
    monkeypatch.setenv(PASSPHRASE, "a secret sentence")
    with pytest.raises(PipelineError, match="no private key that can be used") as caught:
        Signer(Signing(certificate="signer.pem", chain=("signer.pem",)), tmp_path).check()
    assert "not encrypted" in caught.value.hint


def test_a_public_key_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"keys/release\.pub, by which `signing` knows the signer, is not there"):
        Signer(Signing(public_key="keys/release.pub"), tmp_path).check()


def test_without_an_identity_nothing_is_signed_through_sigstore(tmp_path, monkeypatch):
    for variable in ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(variable, raising=False)
    signer = Signer(Signing(identity="me@example.org", issuer="https://example.org"), tmp_path)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda _: None)  # it would ask the cloud's own address
    for sign in (signer.check, lambda: signer.sign("demo/model", Manifest(()))):
        with pytest.raises(UsageError, match="nothing here vouches for an identity") as caught:
            sign()
        assert "id-token: write" in caught.value.hint


def test_sigstore_is_given_the_ambient_identity_and_has_to_show_the_one_that_is_asked_for(
    tmp_path, files, monkeypatch, model
):
    """Sigstore itself cannot be reached: a key of ours stands for it."""
    key_pair(tmp_path)
    asked = []

    def sign(config, **how):
        asked.append(how)
        return config.use_elliptic_key_signer(private_key=tmp_path / "release.key")

    def check(config, **how):
        asked.append(how)
        return config.use_elliptic_key_verifier(public_key=tmp_path / "release.pub")

    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda _: "a token")
    monkeypatch.setattr("model_signing.signing.Config.use_sigstore_signer", sign)
    monkeypatch.setattr("model_signing.verifying.Config.use_sigstore_verifier", check)
    signer = Signer(Signing(identity="me@example.org", issuer="https://example.org"), tmp_path)
    signer.check()
    assert asked == [], "whatever Sigstore signs is public for ever"
    (model / "model.sig").write_bytes(signer.sign("demo/model", files))
    shown = {"identity": "me@example.org", "oidc_issuer": "https://example.org"}
    assert asked == [{"use_ambient_credentials": True}, shown]
    assert signer.wrong(files, model / "model.sig") is None
    monkeypatch.setattr("model_signing.verifying.Config.use_sigstore_verifier", lambda *_, **__: 1 / 0)
    with pytest.raises(PipelineError, match="Sigstore did not tell by what signatures are checked"):
        signer.wrong(files, model / "model.sig")


def test_a_missing_package_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    key_pair(tmp_path)
    signer = Signer(Signing(public_key="release.pub"), tmp_path)
    for use in (signer.check, lambda: signer.wrong(Manifest(()), tmp_path / "model.sig")):
        with pytest.raises(UsageError, match="what does it is not installed") as caught:
            use()
        assert "pip install 'pipeline[signing]'" in caught.value.hint


def test_another_key_under_the_same_name_is_another_signer(tmp_path):
    key_pair(tmp_path)
    signer = Signer(Signing(public_key="release.pub"), tmp_path)
    before = signer.settings()
    key_pair(tmp_path)
    assert signer.settings() != before
    assert signature.FILE not in str(before)
