"""A release taken back while answers get lost and other people commit: marked once, its tag removed, its files kept."""

from __future__ import annotations

import pytest

from pipeline.errors import HubRefused, Overtaken
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload, untold
from pipeline.hub.retry import NO_WAITING, Patient
from pipeline.manifest import describe
from pipeline.stages.withdraw import is_withdrawn, plan_withdrawal, withdraw

pytestmark = [pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"), pytest.mark.usefixtures("way")]
MODEL = Repository("demo/model")
CARD = "---\nlicense: mit\n---\n# Hello\n"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv(NO_WAITING, "1")
    with LocalHub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def hub(server):
    hub = Patient(HuggingFace(server.endpoint, "token"))
    hub.create(MODEL)
    return hub


@pytest.fixture
def push(hub, tmp_path):
    def push(name, text):
        path = tmp_path / "pushed"
        path.write_text(text)
        upload = Upload(path, describe(path, name))
        return hub.commit(MODEL, [upload], [], parent=hub.head(MODEL), message=f"change {name}")

    return push


@pytest.fixture
def published(hub, push, server):
    push("config.json", "{}")
    commit = push("README.md", CARD)
    hub.tag(MODEL, "v1", commit)
    server.requests.clear()
    return commit


@pytest.fixture
def planned(hub, published, tmp_path):
    return lambda: plan_withdrawal(hub, MODEL, "v1", "why", published=published, folder=tmp_path)


def titles(hub):
    return [commit.title for commit in hub.history(MODEL, "main")]


def test_the_plan_only_looks(planned, server):
    plan = planned()
    assert (plan.present, plan.tagged, plan.marked, plan.nothing_to_do) == (True, True, False, False)
    assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize("when", ["before", "middle", "after"])
def test_a_lost_answer_is_no_second_warning(planned, hub, server, tmp_path, when):
    server.faults.add(*(Fault("drop", path, when=when, nth=(1,)) for path in ("*/commit/*", "*/tag/*")))
    assert not is_withdrawn(hub, MODEL, "v1")
    published = hub.head(MODEL)
    withdraw(hub, MODEL, planned(), tmp_path)
    assert titles(hub) == ["Withdraw v1", "change README.md", "change config.json", "initial commit"]
    assert hub.tags(MODEL) == {}
    assert "config.json" in hub.manifest(MODEL, published)
    assert is_withdrawn(hub, MODEL, "v1")
    assert not is_withdrawn(hub, MODEL, "v")
    assert planned().nothing_to_do


def test_a_card_that_somebody_changed_meanwhile_is_not_written_over(planned, hub, push, tmp_path):
    plan = planned()
    push("README.md", CARD + "theirs\n")
    with pytest.raises(Overtaken, match=r"change README\.md \(README\.md\)"):
        withdraw(hub, MODEL, plan, tmp_path)
    assert list(hub.tags(MODEL)) == ["v1"], "nobody is warned yet"
    withdraw(hub, MODEL, planned(), tmp_path)
    path = tmp_path / "now"
    hub.download(MODEL, "main", hub.manifest(MODEL, "main")["README.md"], path, untold)
    assert "has been withdrawn" in path.read_text()
    assert path.read_text().endswith("theirs\n")


def test_a_card_that_the_hub_does_not_take_keeps_its_tag(planned, hub, server, tmp_path):
    server.faults.add(Fault("status", "*/validate-yaml", status=403, message="no"))
    with pytest.raises(HubRefused):
        withdraw(hub, MODEL, planned(), tmp_path)
    assert list(hub.tags(MODEL)) == ["v1"]
    assert titles(hub)[0] == "change README.md"


def test_where_nothing_was_published_there_is_nothing_to_withdraw(hub, tmp_path):
    with pytest.raises(HubRefused, match="has no tag v1"):
        plan_withdrawal(hub, MODEL, "v1", "why", published=None, folder=tmp_path)
    with pytest.raises(HubRefused, match="the Hub holds no demo/other"):
        plan_withdrawal(hub, Repository("demo/other"), "v1", "why", published=None, folder=tmp_path)
