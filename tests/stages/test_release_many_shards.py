"""A release of as many shards as a large model has, and what is sent of it: counted at the Hub, by either way."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import time

import kimi_release
import pytest
import sending
from kimi_release import BASE, RECIPE, TARGET

from pipeline.cli import main
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub

SHARDS, FEWER, IN_BETWEEN = 70, 62, 36
_ATTENTION = r"  - {match: 'self_attn\.', bits: 8"
_LESS = "  - {match: '%s\\.', layers: '%s', bits: 4, why: to have fewer shards}\n"
# Those of earlier layers keep their bytes, and none keeps its name.
MANY = RECIPE.replace(_ATTENTION, _LESS % ("self_attn", "3") + _ATTENTION)
LESS = RECIPE.replace(_ATTENTION, _LESS % ("self_attn", "2-3") + _LESS % ("shared_experts", "2-3") + _ATTENTION)
SUMS = "SHA256SUMS"
BESIDE = (SUMS, "README.md", "evidence.json", "release.lock.json")
BESIDE += ("assets/bytes_by_class.png", "assets/quality_by_size.png")


@pytest.fixture(scope="module")
def rendered(shared_repository, tiny_kimi_base):
    """Two releases for one repository of the Hub, which lack nothing but to be published."""
    for name, recipe, tag in (("many", MANY, "v1"), ("fewer", LESS, "v2")):
        kimi_release.add(
            shared_repository.root,
            shared_repository.hub,
            tiny_kimi_base,
            name,
            recipe=recipe,
            tag=tag,
            shard_size="9.2 kB",
            serve=False,
        )
        with contextlib.chdir(shared_repository.root):
            assert main(["release", name, "--until", "render"]) == 0
    return shared_repository


@pytest.fixture
def copy(rendered, tmp_path, monkeypatch):
    copy = type(rendered)(tmp_path / "copy")
    shutil.copytree(rendered.root, copy.root, copy_function=shutil.copy2)
    monkeypatch.chdir(copy.root)
    # What an earlier process has sent, the library of Xet knows from here.
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    return copy


def model(repository, name):
    """What is published of a release beside its card and what that is made from: size by path."""
    files = (repository.workspace / "releases" / name / "model").iterdir()
    return {path.name: path.stat().st_size for path in files}


def tree(hub, revision="main", repository=TARGET):
    tree = hub.store.tree(repository, hub.store.resolve(repository, revision))
    return {path: entry for path, entry in tree.items() if path != ".gitattributes"}


def titles(hub):
    return [commit.title for commit in hub.store.history(TARGET, hub.store.resolve(TARGET, "main"))]


def holds_exactly(hub, repository, name, revision="main"):
    """Whether every byte of a release is at the Hub, and no other file."""
    there, work = tree(hub, revision), repository.workspace / "releases" / name
    own = {**{path: f"model/{path}" for path in model(repository, name)}, **{path: f"card/{path}" for path in BESIDE}}
    return there.keys() == own.keys() and all(
        sending.stored(hub.store, there[path].sha256) == (work / local).read_bytes() for path, local in own.items()
    )


def large(entries, *held):
    """Bytes of the files in large-file storage whose content is not among those that are held already."""
    known = {entry.sha256 for tree in held for entry in tree.values()}
    return sum({e.sha256: e.size for e in entries.values() if e.large and e.sha256 not in known}.values())


def assert_sent(hub, size, way):
    """So many bytes of large files; through Xet they are packed, where that helps, and have 8 more in each chunk."""
    sent = sum(sending.sent(hub.requests))
    assert sent == size if way == "lfs" else size / 2 < sent <= size * 1.002


def test_seventy_shards_are_one_commit_and_fewer_of_other_names_another_one(copy, way):
    with LocalHub(copy.hub) as hub:
        base = tree(hub, repository=BASE)
        assert main(["release", "many"]) == 0
        first = tree(hub)
        assert sum(path.endswith(f"-of-{SHARDS:05}.safetensors") for path in first) == SHARDS
        assert {"config.json", "tokenization_kimi.py", "tiktoken.model", *BESIDE} <= set(first)
        assert holds_exactly(hub, copy, "many", "v1")
        assert titles(hub) == ["Tiny Kimi (v1)", "initial commit"]
        assert_sent(hub, large(first, base), way)

        hub.requests.clear()
        assert main(["release", "fewer"]) == 0
        second = tree(hub)
        assert sum(path.endswith(".safetensors") for path in second) == FEWER
        assert holds_exactly(hub, copy, "fewer", "v2")
        assert holds_exactly(hub, copy, "many", "v1")
        assert titles(hub) == ["Tiny Kimi (v2)", "Tiny Kimi (v1)", "initial commit"]
        shards = {e.sha256 for e in second.values() if e.path.endswith(".safetensors")}
        kept = shards & {entry.sha256 for entry in first.values()}
        assert 10 < len(kept) < FEWER - 10, "some of both"
        assert_sent(hub, large(second, first, base), way)

        hub.requests.clear()
        assert main(["rollback", "fewer", "--to", "v1"]) == 0
        assert tree(hub) == first
        assert sending.sent(hub.requests) == []
        assert main(["release", "many"]) == 0
        assert sending.sent(hub.requests) == []


def test_killed_in_the_middle_of_a_shard_nothing_but_that_shard_is_sent_again(copy, way, capsys):
    records = copy.workspace / "releases/many/records/upload"
    # One byte a second: for whoever kills it, this shard is in the middle for ever.
    stuck = Fault("slow", sending.BYTES[way], sending.METHOD[way], rate=1, nth=(IN_BETWEEN,))
    with LocalHub(copy.hub) as hub:
        hub.faults.add(stuck)
        with copy.start("release", "many") as process:
            others = SHARDS - 1
            ends = time.monotonic() + 120
            while len(list(records.glob("model-*.json"))) < others and time.monotonic() < ends:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, said
        assert len(hub.faults.fired) == 1
        assert tree(hub) == {}
        [unfinished] = {f"{name}.json" for name in model(copy, "many") if name.endswith(".safetensors")} - {
            path.name for path in records.glob("model-*.json")
        }
        shard = unfinished.removesuffix(".json")
        before = sum(sending.sent(hub.requests))

        hub.faults.clear()
        hub.requests.clear()
        assert main(["release", "many"]) == 0
        assert re.findall(r"^upload/(model-\S+): .* in ", "".join(capsys.readouterr()), re.MULTILINE) == [shard]
        assert holds_exactly(hub, copy, "many", "v1")
        assert titles(hub) == ["Tiny Kimi (v1)", "initial commit"]
        shards = {path: entry for path, entry in tree(hub).items() if path.endswith(".safetensors")}
        beside = {path: entry for path, entry in tree(hub).items() if path not in shards}
        assert_sent(hub, shards[shard].size + large(beside, tree(hub, repository=BASE)), way)
        assert before <= large(shards) * 1.002
