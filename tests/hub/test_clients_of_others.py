"""Programs that this project did not write see a repository that it published, whichever way its files went up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save

from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload, untold
from pipeline.hub.publish import publish
from pipeline.hub.retry import Patient
from pipeline.lock import Lock
from pipeline.manifest import File, Manifest, describe, sha256

MODEL = Repository("demo/model")
SHARDS = tuple(f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
LARGE = (*SHARDS, "assets/plot.png")  # by the patterns of the Hub's own .gitattributes
_random = np.random.default_rng(7)
CONTENTS = {
    "README.md": b"---\nlicense: mit\nlibrary_name: mlx\ntags:\n- mlx\n---\n# Hello\n",
    "config.json": b'{"model_type": "llama"}\n',
    "model.safetensors.index.json": json.dumps(
        {"metadata": {"total_size": 3_145_728}, "weight_map": dict(zip(("a.weight", "b.weight"), SHARDS, strict=True))}
    ).encode(),
    SHARDS[0]: save({"a.weight": _random.standard_normal((1024, 512), np.float32)}),
    SHARDS[1]: save({"b.weight": np.zeros((512, 512), np.float32)}),  # one chunk over and over
    "assets/plot.png": b"\x89PNG drawn",
    "notes/a longer näme.txt": "Grüße\n".encode(),
}


@dataclass(frozen=True)
class Published:
    """A public repository, whose commit is tagged v1, and the manifest of what was put into it."""

    server: LocalHub
    commit: str
    manifest: Manifest
    xet: bool

    @property
    def files(self) -> dict[str, File]:
        return {file.path: file for file in self.manifest}

    def is_copied(self, folder: Path) -> None:
        """Fail unless `folder` holds every file, byte for byte, and nothing else but the Hub's own."""
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        there = {path for path in there if not path.startswith(".cache/")}
        assert there - {".gitattributes"} == set(self.files)
        assert {path: sha256(folder / path) for path in self.files} == {f.path: f.sha256 for f in self.manifest}


@pytest.fixture(scope="module", params=["xet", "lfs"])
def published(request, tmp_path_factory):
    """Published as the stages of a release do it: weights ahead of the one commit, then the tag."""
    root = tmp_path_factory.mktemp(request.param)
    uploads = []
    for name, content in CONTENTS.items():
        path = root / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        uploads.append(Upload(path, describe(path, name)))
    with pytest.MonkeyPatch.context() as patch, LocalHub(root / "hub") as server:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "lfs")
        hub = Patient(HuggingFace(server.endpoint, "token"))
        hub.create(MODEL)
        for upload in uploads:
            if upload.file.path in SHARDS:
                hub.preupload(MODEL, upload, lambda _: None)
        commit = publish(hub, MODEL, uploads, message="Model (v1)")
        hub.tag(MODEL, "v1", commit)
        hub.make_public(MODEL)
        yield Published(server, commit, Manifest(tuple(upload.file for upload in uploads)), request.param == "xet")


# The client's own command.


@pytest.fixture
def hf(published, tmp_path):
    """Runs `hf` as somebody without an account who has set nothing but the address of the Hub: exit code and output."""

    def hf(*arguments, **more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment |= {
            "HF_ENDPOINT": published.server.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **more,
        }
        done = subprocess.run(
            [Path(sys.executable).parent / "hf", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    return hf


def test_hf_downloads_all_of_it(published, hf, tmp_path):
    for number, (revision, without_xet) in enumerate([("v1", "0"), ("main", "1")]):
        folder = tmp_path / str(number)
        published.server.requests.clear()
        code, said = hf(
            "download", MODEL.id, "--revision", revision, "--local-dir", str(folder), HF_HUB_DISABLE_XET=without_xet
        )
        assert code == 0, said
        published.is_copied(folder)
        reconstructed = any("/reconstructions/" in request.path for request in published.server.requests)
        assert reconstructed == (published.xet and without_xet == "0")


def test_hf_downloads_one_file(published, hf, tmp_path):
    for revision in ("v1", "main"):
        folder = tmp_path / revision
        code, said = hf("download", MODEL.id, SHARDS[0], "--revision", revision, "--local-dir", str(folder))
        assert code == 0, said
        assert [path.name for path in folder.iterdir() if path.name != ".cache"] == [SHARDS[0]]
        assert sha256(folder / SHARDS[0]) == published.files[SHARDS[0]].sha256


def test_hf_verifies_its_cache_and_finds_a_flipped_bit(published, hf, tmp_path):
    code, said = hf("download", MODEL.id, "--revision", "v1")
    assert code == 0, said
    verify = ("cache", "verify", MODEL.id, "--revision", "v1", "--fail-on-missing-files", "--fail-on-extra-files")
    code, said = hf(*verify)
    assert code == 0, said
    assert str(len(CONTENTS) + 1) in said  # with .gitattributes
    for name in (SHARDS[1], "config.json"):  # one is known by its SHA-256, the other one as a git blob
        [path] = (tmp_path / "home/hub").glob(f"*/snapshots/{published.commit}/{name}")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.resolve().write_bytes(content)
        code, said = hf(*verify)
        assert code == 1, said
        assert name in said
        content[len(content) // 2] ^= 1
        path.resolve().write_bytes(content)
    assert hf(*verify)[0] == 0


# The Hub's client for JavaScript.


@pytest.mark.parametrize("revision", ["v1", "main"])
def test_a_javascript_program_sees_the_same(published, node, tmp_path, revision):
    seen = node.run("reads.mjs", published.server.endpoint, MODEL.id, revision, tmp_path)
    for way in ("xet", "plain", seen["snapshot"]):
        published.is_copied(tmp_path / way)
    files = {file["listed"]["path"]: file for file in seen["files"]}
    assert set(files) == {*CONTENTS, ".gitattributes"}
    for path, file in published.files.items():
        found, large = files[path], path in LARGE
        digest = file.sha256 if large else file.git_sha1
        assert found["etag"] == f'"{digest}"'
        assert found["xet"] == (large and published.xet)
        for described in (found["listed"], found["info"]):
            assert described["size"] == found["size"] == file.size
            assert (described["lfs"]["oid"] if large else described["oid"]) == digest
            assert ("xetHash" in described) == found["xet"]
            assert described["lastCommit"]["id"] == published.commit
    assert [commit["title"] for commit in seen["commits"]] == ["Model (v1)", "initial commit"]
    assert seen["commits"][0]["oid"] == seen["model"]["sha"] == seen["head"] == published.commit
    assert seen["commitCount"] == 2
    assert seen["model"]["tags"] == ["mlx"]
    assert seen["model"]["cardData"] == {"license": "mit", "library_name": "mlx", "tags": ["mlx"]}
    assert set(seen["model"]["filePaths"]) == set(files)
    assert seen["parameters"] == {"F32": 1024 * 512 + 512 * 512}
    assert seen["absent"] == [False, None, None]


@pytest.mark.parametrize("through_xet", [True, False])
def test_what_a_javascript_program_sends_is_what_we_read(node, tmp_path, through_xet):
    sent = tmp_path / "sent"
    sent.mkdir()
    contents = {"README.md": CONTENTS["README.md"], SHARDS[0]: CONTENTS[SHARDS[0]], "removed.txt": b"not for long\n"}
    for name, content in contents.items():
        (sent / name).write_bytes(content)
    with LocalHub(tmp_path / "hub") as server:
        said = node.run("writes.mjs", server.endpoint, MODEL.id, sent, "true" if through_xet else "false")
        hub = Patient(HuggingFace(server.endpoint, "token"))
        assert (said["name"], said["before"]) == ("demo", False)
        added, removed = (hub.manifest(MODEL, commit) for commit in said["commits"])
        assert {file.path for file in added} == {*contents, ".gitattributes"}
        assert {file.path for file in removed} == {"README.md", SHARDS[0], ".gitattributes"}
        for name in contents:
            assert describe(sent / name, name).same_content(added[name])
        hub.download(MODEL, said["commits"][1], removed[SHARDS[0]], tmp_path / "back", untold)
        assert (tmp_path / "back").read_bytes() == contents[SHARDS[0]]
        assert any("/v1/xorbs/" in request.path for request in server.requests) == through_xet
        assert HuggingFace(server.endpoint, False).head(MODEL) is None  # asked for as private


def test_a_javascript_program_reads_a_quantized_release(released, node):
    with LocalHub(released.hub, readonly=True) as server:
        seen = node.run("weights.mjs", server.endpoint, "demo/SmolLM2-135M-Instruct-MLX-mixed")
    lock = Lock.from_json((released.root / "releases/demo/release.lock.json").read_bytes())
    assert seen["shards"] == [file.path for file in lock.model if file.path.endswith(".safetensors")]
    assert seen["parameterTotal"] == lock.parameters  # unpacked by the bits that config.json gives each module
