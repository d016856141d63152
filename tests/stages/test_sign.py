"""`pipeline release` of something that is to be signed: once, by the one commit, and read by a program of others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from huggingface_hub import snapshot_download
from signing_keys import key_pair

from pipeline.hub.local.server import LocalHub
from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository
from pipeline.stages.signature import KEY, PASSPHRASE

TARGET = Repository("demo/SmolLM2-135M-Instruct-MLX-mixed")
SECRET = "nobody may see this passphrase"
SIGNING = "signing: {public_key: release.pub}\n"


@pytest.fixture(scope="module")
def signed(released, tmp_path_factory):
    """The released repository with another tag, which was signed by a key that is encrypted."""
    root, keys = tmp_path_factory.mktemp("signed"), tmp_path_factory.mktemp("keys")
    signed = type(released)(root / "repository")
    locks = shutil.ignore_patterns("lock", "commit.lock")
    shutil.copytree(released.root, signed.root, copy_function=os.link, ignore=locks)
    path = signed.root / "releases/demo/release.yaml"
    text = path.read_text().replace("tag: v1", "tag: v2") + f"\n{SIGNING}"
    path.unlink()  # it is the other fixture's, too
    path.write_text(text)
    key_pair(keys, passphrase=SECRET)
    shutil.copy(keys / "release.pub", signed.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY, str(keys / "release.key"))
        patch.setenv(PASSPHRASE, SECRET)
        code, said = signed.run("release", "demo")
        assert code == 0, said
        assert "signed by the key of release.pub" in said
        assert SECRET not in said
        yield signed


def tags(signed):
    return Store(signed.hub, readonly=True).refs(TARGET).tags


def test_it_holds_for_a_program_of_others_until_a_bit_flips(signed, tmp_path):
    model = tmp_path / "model"
    with LocalHub(signed.hub, readonly=True) as server:
        snapshot_download(TARGET.id, revision="v2", local_dir=model, endpoint=server.endpoint, token=False)
    sums = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=model, capture_output=True, text=True, check=True)
    assert "model.sig: OK" in sums.stdout

    def verify():
        command = [sys.executable, "-m", "model_signing", "verify", "key", model, "--signature", model / "model.sig"]
        command += ["--public_key", signed.root / "release.pub"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stderr

    assert verify() == (0, "")
    weights = model / "model-00001-of-00004.safetensors"
    with weights.open("r+b") as file:
        file.seek(1_000_000)
        [byte] = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte ^ 1]))
    code, said = verify()
    assert code == 1
    assert weights.name in said


def test_it_holds_for_us(signed):
    code, said = signed.run("verify", "demo")
    assert code == 0, said
    assert "signed by the key of release.pub" in said


def test_the_same_files_are_signed_once(signed):
    code, said = signed.run("release", "demo", "--dry-run")
    assert (code, "Nothing to do" in said) == (0, True), said
    before = tags(signed)
    work = signed.workspace / "releases/demo"
    (work / "records/upload/signature.json").unlink()
    (work / "card/model.sig").unlink()
    code, said = signed.run("release", "demo")
    assert code == 0, said
    assert tags(signed) == before, "another signature of the same files would be another commit"


def test_nothing_secret_is_left_anywhere(signed):
    everything = [path for path in signed.root.rglob("*") if path.is_file()]
    assert not [path for path in everything if SECRET.encode() in path.read_bytes()]
    assert not [path for path in everything if b"PRIVATE KEY" in path.read_bytes()]


def test_a_key_that_is_missing_is_an_error_before_anything_is_sent(signed, monkeypatch):
    monkeypatch.delenv(KEY)
    record = signed.workspace / "releases/demo/records/upload/signature.json"
    content = record.read_bytes()
    record.unlink()
    before = tags(signed)
    code, said = signed.run("release", "demo")
    assert code == 2
    assert f"and {KEY} is not set" in said
    assert tags(signed) == before
    record.write_bytes(content)
