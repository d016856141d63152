"""Patience over the real client and a real server that is made to misbehave."""

from __future__ import annotations

import os
import time

import pytest
import sending

from pipeline.errors import HubError, HubRefused, Interrupted, Overtaken
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.retry import NO_WAITING, Patient
from pipeline.manifest import describe

pytestmark = pytest.mark.usefixtures("way")

MODEL = Repository("demo/model")


@pytest.fixture
def server(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        HuggingFace(server.endpoint, "token").create(MODEL)
        server.requests.clear()
        yield server


@pytest.fixture
def told():
    return []


@pytest.fixture
def hub(server, told):
    return Patient(HuggingFace(server.endpoint, "token"), told=told.append)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        return Upload(path, describe(path, path.name))

    return write


@pytest.fixture
def upload(write):
    return write(b"weights" * 1000)


def sent(server, part):
    return [request.status for request in server.requests if part in request.path]


def test_a_passing_failure_is_asked_again_and_told(hub, server, told):
    server.faults.add(Fault("status", "*/revision/*", nth=(1, 2), message="busy"))
    assert hub.head(MODEL) == server.store.resolve(MODEL, "main")
    assert sent(server, "/revision/") == [503, 503, 200]
    assert len(told) == 2
    assert told[0].startswith("cannot look at demo/model: the Hub answered 503 (busy); asking again in ")
    assert told[0].endswith("(attempt 2 of 8)")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_refusal_is_not_asked_again(hub, server, told, status):
    server.faults.add(Fault("status", "*/whoami-v2", status=status))
    with pytest.raises(HubRefused):
        hub.whoami()
    assert sent(server, "/whoami") == [status]
    assert told == []


def test_a_full_account_stops_an_upload_at_once(hub, server, upload):
    server.faults.add(Fault("quota", "*/batch"))
    with pytest.raises(HubRefused, match="storage limit") as caught:
        hub.preupload(MODEL, upload, lambda _: None)
    assert sent(server, "/batch") == [403]
    assert "storage" in caught.value.hint


def test_patience_ends_after_so_many_attempts(server):
    server.faults.add(Fault("drop", "*/whoami-v2"))
    with pytest.raises(HubError, match="the connection failed"):
        Patient(HuggingFace(server.endpoint, "token"), attempts=3).whoami()
    assert sent(server, "/whoami") == [0, 0, 0]


def test_nobody_waits_beyond_the_time_that_there_is(server):
    server.faults.add(Fault("status", "*/whoami-v2", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(HubError, match="429") as caught:
        Patient(HuggingFace(server.endpoint, "token"), seconds=1800).whoami()
    assert sent(server, "/whoami") == [429]
    assert "The Hub asks to wait 3600 s" in caught.value.hint


def test_the_hubs_own_wait_is_kept_and_told(server, told, monkeypatch):
    monkeypatch.delenv(NO_WAITING)
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    server.faults.add(Fault("status", "*/whoami-v2", status=429, headers={"RateLimit": '"api";r=0;t=54'}, nth=(1,)))
    Patient(HuggingFace(server.endpoint, "token"), longest_wait=0, told=told.append).whoami()
    assert 55 in slept
    assert "asking again in 55 s, as the Hub asks (attempt 2 of 8)" in told[0]


def test_whoever_waits_hears_that_the_run_was_stopped(server, upload, monkeypatch):
    monkeypatch.delenv(NO_WAITING)
    server.faults.add(Fault("status", "*/batch", status=429, headers={"Retry-After": "600"}))

    def stopped(_):
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        Patient(HuggingFace(server.endpoint, "token")).preupload(MODEL, upload, stopped)


def test_a_hub_that_says_nothing_is_given_up_and_asked_again(server, told):
    server.faults.add(Fault("stall", "*/whoami-v2", seconds=3600, nth=(1,)))
    assert Patient(HuggingFace(server.endpoint, "token"), call_seconds=0.3, told=told.append).whoami() == "demo"
    assert "cannot ask whose token this is: there was no answer within 0 s" in told[0]


def test_an_upload_that_has_begun_and_goes_silent_is_given_up_and_sent_again(server, told, write, way):
    """Its size alone would give it a minute, in which it would be answered."""
    upload = write(os.urandom(3_000_000))
    server.faults.add(Fault("stall", sending.LAST[way], seconds=10, nth=(1,)))
    counted = []
    Patient(HuggingFace(server.endpoint, "token"), call_seconds=1, told=told.append).preupload(
        MODEL, upload, counted.append
    )
    assert "cannot upload model.safetensors to demo/model: there was no answer within 1 s" in told[0]
    assert sum(counted) == upload.file.size


@pytest.mark.parametrize("when", ["before", "middle", "after"])
def test_a_commit_is_made_once_whether_or_not_its_answer_comes(hub, server, upload, when):
    parent = hub.head(MODEL)
    server.faults.add(Fault("drop", "*/commit/*", when=when, nth=(1,)))
    commit = hub.commit(MODEL, [upload], [".gitattributes"], parent=parent, message="once")
    assert [each.id for each in hub.history(MODEL, "main")] == [commit, parent]
    assert len(sent(server, "/commit/")) == (1 if when == "after" else 2)


def test_a_commit_that_is_carried_out_after_it_was_given_up_is_made_once(server, upload, told):
    parent = server.store.resolve(MODEL, "main")
    hub = Patient(HuggingFace(server.endpoint, "token"), call_seconds=0.4, told=told.append)
    server.faults.add(Fault("stall", "*/commit/*", seconds=0.8, nth=(1, 2)))
    commit = hub.commit(MODEL, [upload], [], parent=parent, message="once")
    assert any("commit to demo/model: there was no answer" in line for line in told)
    assert [each.id for each in hub.history(MODEL, "main")] == [commit, parent]


def test_large_files_that_were_sent_give_a_commit_no_more_time(server, write, told):
    """Their size alone would give it four minutes, in which it would be answered."""
    upload, parent = write(os.urandom(12_000_000)), server.store.resolve(MODEL, "main")
    hub = Patient(HuggingFace(server.endpoint, "token"), call_seconds=2, told=told.append)
    hub.preupload(MODEL, upload, lambda _: None)
    server.faults.add(Fault("stall", "*/commit/*", seconds=10, nth=(1,)))
    commit = hub.commit(MODEL, [upload], [], parent=parent, message="once")
    assert "cannot commit to demo/model: there was no answer within 2 s" in told[0]
    assert hub.head(MODEL) == commit


def test_what_a_commit_still_has_to_send_is_given_up_when_it_goes_silent(server, write, told, way):
    upload, parent = write(os.urandom(3_000_000)), server.store.resolve(MODEL, "main")
    hub = Patient(HuggingFace(server.endpoint, "token"), call_seconds=1, told=told.append)
    server.faults.add(Fault("stall", sending.LAST[way], seconds=10, nth=(1,)))
    commit = hub.commit(MODEL, [upload], [], parent=parent, message="once")
    assert "cannot upload model.safetensors to demo/model: there was no answer within 1 s" in told[0]
    assert hub.head(MODEL) == commit


def test_a_412_that_nobody_is_to_blame_for_is_asked_again(hub, server, upload):
    parent = hub.head(MODEL)
    server.faults.add(Fault("status", "*/commit/*", status=412, nth=(1,)))
    commit = hub.commit(MODEL, [upload], [], parent=parent, message="once")
    assert [each.id for each in hub.history(MODEL, "main")] == [commit, parent]


def test_a_lost_answer_is_not_taken_for_somebody_elses_commit(hub, server, upload):
    """Ours was made, its answer was lost, and somebody else has committed since."""
    parent = hub.head(MODEL)
    server.faults.add(
        Fault("drop", "*/commit/*", when="after", nth=(1,)), Fault("moved", "*/revision/*", file="theirs.txt", nth=(1,))
    )
    commit = hub.commit(MODEL, [upload], [], parent=parent, message="ours")
    assert [each.title for each in hub.history(MODEL, "main")] == ["Change theirs.txt", "ours", "initial commit"]
    assert hub.history(MODEL, "main")[1].id == commit


def test_somebody_elses_commit_is_told_with_who_when_and_what(hub, server, upload):
    parent = hub.head(MODEL)
    server.faults.add(Fault("moved", "*/commit/*", file="README.md", nth=(1,)))
    with pytest.raises(Overtaken) as caught:
        hub.commit(MODEL, [upload], [], parent=parent, message="ours")
    said = str(caught.value)
    assert f"somebody else committed to demo/model since {parent[:12]}: " in said
    assert f"{hub.head(MODEL)[:12]} by somebody-else on 20" in said
    assert "UTC: Change README.md (README.md)" in said
    assert caught.value.paths == {"README.md"}
    assert len(sent(server, "/commit/")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tag_whose_answer_is_lost_is_there_once(hub, server, when):
    server.faults.add(Fault("drop", "*/tag/*", when=when, nth=(1,)))
    hub.tag(MODEL, "v1", hub.head(MODEL))
    assert hub.tags(MODEL) == {"v1": hub.head(MODEL)}
    assert len(sent(server, "/tag/")) == (1 if when == "after" else 2)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_repository_whose_creation_is_not_answered_is_there_and_private(hub, server, when):
    other = Repository("demo/other")
    server.faults.add(Fault("drop", "*/create", when=when, nth=(1,)))
    hub.create(other)
    assert server.store.refs(other).private


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_repository_becomes_public_although_the_answer_is_lost(hub, server, when):
    server.faults.add(Fault("drop", "*/settings", when=when, nth=(1,)))
    hub.make_public(MODEL)
    assert not server.store.refs(MODEL).private


def test_what_is_sent_a_second_time_is_no_progress(hub, server, upload, way):
    counted = []
    until_heard = tuple(range(1, sending.LIBRARYS_OWN + 1)) if way == "xet" else (1,)
    server.faults.add(
        Fault("drop", sending.BYTES[way], sending.METHOD[way], when="middle", nth=until_heard),
        Fault("status", sending.LAST[way], nth=until_heard),
    )
    hub.preupload(MODEL, upload, counted.append)
    assert {fired.rule for fired in server.faults.fired} == {1, 2}
    assert sum(counted) == upload.file.size
