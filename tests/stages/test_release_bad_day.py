"""`pipeline release` on a bad day: the real command with a real token, at a Hub that lets its requests go wrong."""

from __future__ import annotations

import shutil
import signal
import time

import pytest
import sending

from pipeline.hub.local.faults import Fault
from pipeline.hub.local.garbage import collect
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository
from pipeline.hub.retry import NO_WAITING

TARGET = Repository("demo/SmolLM2-135M-Instruct-MLX-mixed")
TOKEN = "hf_NobodyMaySeeThisToken"


@pytest.fixture
def unpublished(released, seeded_hub, tmp_path, monkeypatch):
    """A finished release whose Hub holds nothing of it yet and is reached like the real one; with that Hub."""
    repository = type(released)(tmp_path / "copy")
    shutil.copytree(released.root, repository.root, copy_function=shutil.copy2)
    shutil.rmtree(repository.hub)
    shutil.rmtree(repository.workspace / "releases" / "demo" / "records" / "upload")
    repository.start_from(seeded_hub)
    repository.edit("demo", "hub: local\n", "")
    with LocalHub(repository.hub, tokens={TOKEN: "demo"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv(NO_WAITING, "1")
        yield repository, hub


def published(hub):
    return set(hub.store.tree(TARGET, hub.store.resolve(TARGET, "main"))) - {".gitattributes"}


EXPIRED = {
    "xet": Fault("status", sending.BYTES["xet"], status=401, nth=(1,)),
    "lfs": Fault("expired", sending.BYTES["lfs"], "PUT", nth=(1,)),
}


def test_a_release_gets_through_a_bad_day_and_tells_no_secret(unpublished, way):
    repository, hub = unpublished
    hub.faults.add(
        Fault("status", "/api/*", status=429, headers={"Retry-After": "3"}, nth=(2,), message="slow down"),
        EXPIRED[way],
        Fault("drop", sending.BYTES[way], sending.METHOD[way], when="middle", nth=(2,)),
        Fault("moved", "*/commit/*", file="theirs.txt", nth=(1,)),
        Fault("collected", "*/commit/*", nth=(2,)),
        Fault("drop", "*/commit/*", when="after", nth=(3,)),
        Fault("drop", "*/tag/*", when="after", nth=(1,)),
    )
    code, said = repository.run("release", "demo")
    assert code == 0, said
    assert sorted(fired.rule for fired in hub.faults.fired) == [1, 2, 3, 4, 5, 6, 7], "it did not happen"
    assert "as the Hub asks (attempt 2 of 8)" in said
    assert "by somebody-else on " in said
    assert "has expired" in said
    assert "has dropped" in said
    assert {"README.md", "config.json", "model-00004-of-00004.safetensors"} <= published(hub)
    assert "theirs.txt" not in published(hub)
    titles = [commit.title for commit in hub.store.history(TARGET, hub.store.resolve(TARGET, "v1"))]
    assert len(titles) == 3
    assert titles[1:] == ["Change theirs.txt", "initial commit"]

    assert TOKEN not in said
    files = [path for path in repository.root.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert len(files) > 50
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


@pytest.mark.usefixtures("way")
def test_a_full_account_ends_it_with_4_and_the_same_command_goes_on(unpublished):
    repository, hub = unpublished
    hub.faults.add(Fault("quota", "*/batch", nth=(5,)))  # the shards are there, and nothing else is on its way
    code, said = repository.run("release", "demo")
    assert code == 4, said
    assert "storage limit reached" in said
    assert "look at its storage" in said
    assert published(hub) == set()
    arrived = {*hub.store.blobs.stored(), *hub.store.xet.stored()}
    hub.requests.clear()
    code, said = repository.run("release", "demo")
    assert code == 0, said
    assert "model-00004-of-00004.safetensors" in published(hub)
    tree = hub.store.tree(TARGET, hub.store.resolve(TARGET, "main")).values()
    assert {entry.sha256 for entry in tree if entry.path.endswith(".safetensors")} <= arrived
    missing = sum(entry.size for entry in tree if entry.large and entry.sha256 not in arrived)
    assert 0 < sum(sending.sent(hub.requests)) <= missing * 1.001, "what has arrived is not sent again"
    assert TOKEN not in said


def test_a_repository_that_was_created_just_before_a_kill_is_public_in_the_end(unpublished):
    repository, hub = unpublished
    hub.faults.add(Fault("stall", f"*/{TARGET}/commits/*", seconds=3600, nth=(1,)))  # the first question after it
    with repository.start("release", "demo") as process:
        while process.poll() is None and not hub.faults.fired:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert hub.store.refs(TARGET).private
    hub.faults.clear()
    code, said = repository.run("release", "demo")
    assert code == 0, said
    assert not hub.store.refs(TARGET).private
    assert "stays private" not in said


def test_a_hub_that_lost_everything_is_sent_it_again_in_one_run(unpublished):
    """Through Xet, whose client remembers what it sent; somebody else made a private repository of that name."""
    repository, hub = unpublished
    hub.faults.add(Fault("status", "*/commit/*", status=403))
    code, said = repository.run("release", "demo")
    assert code == 4, said
    assert len(list((repository.workspace / "releases/demo/records/upload").glob("model-*.json"))) == 4
    hub.faults.clear()
    hub.store.delete(TARGET)
    assert len(collect(hub.store)) >= 4
    hub.store.create(TARGET, private=True, author="demo")
    hub.requests.clear()
    code, said = repository.run("release", "demo")
    assert code == 0, said
    assert f"{TARGET} on the Hub is another repository than it was" in said
    assert "model-00004-of-00004.safetensors" in published(hub)
    assert not [request for request in hub.requests if request.method == "PUT"]
    assert hub.store.refs(TARGET).private
    assert f"{TARGET} stays private" in said


def test_what_somebody_commits_after_the_head_was_noted_stops_it_once(unpublished):
    repository, hub = unpublished
    hub.faults.add(Fault("moved", f"*/{TARGET}/refs", file="README.md", nth=(2,)))  # the tags, before the commit
    code, said = repository.run("release", "demo")
    assert code == 4, said
    assert "somebody else committed" in said
    assert "Change README.md (README.md)" in said
    assert published(hub) == {"README.md"}
    assert hub.store.refs(TARGET).tags == {}
    code, said = repository.run("release", "demo")
    assert code == 0, said
    assert "upload/head" in said
    assert "model-00004-of-00004.safetensors" in published(hub)
