"""Patience over the real client and server, with failures put between the two."""

from __future__ import annotations

import pytest

from pipeline.errors import HubError, HubRefused
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository
from pipeline.hub.retry import Patient

MODEL = Repository("demo/model")


class Unreliable:
    """A Hub whose named call fails the first times, before or after it did its work (a lost answer)."""

    def __init__(self, hub, call: str, failures: list[HubError], *, after: bool = False) -> None:
        self.hub, self.call, self.failures, self.after = hub, call, failures, after
        self.calls = 0

    def __getattr__(self, name):
        method = getattr(self.hub, name)
        if name != self.call:
            return method

        def unreliable(*args, **kwargs):
            self.calls += 1
            failure = self.failures.pop(0) if self.failures else None
            if failure and not self.after:
                raise failure
            result = method(*args, **kwargs)
            if failure:
                raise failure
            return result

        return unreliable


@pytest.fixture
def hub(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        hub = HuggingFace(server.endpoint, "token")
        hub.create(MODEL)
        yield hub


def test_a_passing_failure_is_asked_again_and_told(hub):
    told = []
    flaky = Unreliable(hub, "head", [HubError("busy"), HubError("busy")])
    assert Patient(flaky, longest_wait=0, told=told.append).head(MODEL) == hub.head(MODEL)
    assert flaky.calls == 3
    assert told == ["busy; asking again in 0 s"] * 2


def test_a_refusal_is_not_asked_again(hub):
    refusing = Unreliable(hub, "whoami", [HubRefused("no token")])
    with pytest.raises(HubRefused):
        Patient(refusing, longest_wait=0).whoami()
    assert refusing.calls == 1


def test_patience_ends(hub):
    broken = Unreliable(hub, "head", [HubError(f"failure {i}") for i in range(9)])
    with pytest.raises(HubError, match="failure 2"):
        Patient(broken, attempts=3, longest_wait=0).head(MODEL)


def test_the_hubs_own_wait_is_kept(hub):
    told = []
    busy = Unreliable(hub, "head", [HubError("limit", retry_after=0.3)])
    Patient(busy, longest_wait=0, told=told.append).head(MODEL)
    assert told == ["limit; asking again in 0 s"]


def test_a_lost_answer_to_a_commit_is_not_committed_twice(hub, tmp_path):
    from pipeline.hub.protocol import Upload
    from pipeline.manifest import describe

    path = tmp_path / "config.json"
    path.write_text("{}")
    parent = hub.head(MODEL)
    lost = Unreliable(hub, "commit", [HubError("the connection failed")], after=True)
    upload = Upload(path, describe(path, "config.json"))
    commit = Patient(lost, longest_wait=0).commit(MODEL, [upload], [], parent=parent, message="once")
    assert lost.calls == 1
    assert hub.head(MODEL) == commit
    assert "config.json" in hub.manifest(MODEL, commit)


def test_a_commit_that_never_arrived_is_sent_again(hub, tmp_path):
    from pipeline.hub.protocol import Upload
    from pipeline.manifest import describe

    path = tmp_path / "config.json"
    path.write_text("{}")
    lost = Unreliable(hub, "commit", [HubError("the connection failed")])
    upload = Upload(path, describe(path, "config.json"))
    commit = Patient(lost, longest_wait=0).commit(MODEL, [upload], [], parent=hub.head(MODEL), message="once")
    assert lost.calls == 2
    assert hub.head(MODEL) == commit


def test_a_lost_answer_to_a_tag_is_no_conflict(hub):
    head = hub.head(MODEL)
    lost = Unreliable(hub, "tag", [HubError("the connection failed")], after=True)
    Patient(lost, longest_wait=0).tag(MODEL, "v1", head)
    assert hub.tags(MODEL) == {"v1": head}
