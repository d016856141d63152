"""Who created the repository, and so whether it is shown in the end: whatever was killed, deleted or made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from small_release import TARGET, SmallRelease

from pipeline.engine.plan import plan
from pipeline.engine.progress import Silent
from pipeline.engine.run import run
from pipeline.engine.task import Task
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Upload
from pipeline.manifest import describe
from pipeline.release.load import load_release
from pipeline.stages import creating, upload
from pipeline.stages.job import Folders, open_job

COMMITS = {"v1": "c" * 40, "v2": "d" * 40}


@pytest.fixture
def small(repository):
    repository.edit("demo", "hub: local\n", "")
    return SmallRelease(repository.root)


@pytest.fixture
def server(small):
    with LocalHub(small.root / ".pipeline/hub") as server:
        yield server


class Killed(BaseException):
    pass


@dataclass
class Heard(Silent):
    lines: list[str] = field(default_factory=list)

    def noted(self, task, line):
        self.lines.append(line)


@pytest.fixture
def release(small, server):
    """Everything of a release that has to do with its repository; answers what was said."""

    def release(tag="v1", *, until=creating.show):
        folders = Folders(small.root, small.root / ".pipeline")
        job = open_job(load_release(small.root, "demo"), folders, HuggingFace(server.endpoint, "token"), keep=False)
        target = job.release.target.model_copy(update={"tag": tag})
        job = replace(job, asked=replace(job.asked, release=job.release.model_copy(update={"target": target})))

        def end(step):
            small.write_lock((), tag, COMMITS[tag])
            until(job, COMMITS[tag], step)
            return {"commit": COMMITS[tag]}

        ending = Task(creating.COMMIT, upload.LANE, end, (creating.REPOSITORY,), {"tag": tag})
        heard = Heard()
        run(plan([*creating.tasks(job, upload.LANE), ending], job.workspace), job.workspace, heard)
        return "\n".join(heard.lines)

    return release


def private(server):
    return server.store.refs(TARGET).private


def killed(*_):
    raise Killed


def forget(small, task):
    (small.root / ".pipeline/releases/demo/records" / f"{task}.json").unlink()


def test_it_is_created_private_and_shown_when_everything_is_there(release, server):
    with pytest.raises(Killed):
        release(until=killed)
    assert private(server)
    assert "stays private" not in release()
    assert not private(server)


def test_a_kill_before_its_creation_was_recorded_changes_nothing(release, small, server):
    with pytest.raises(Killed):
        release(until=killed)
    forget(small, creating.REPOSITORY)
    release()
    assert not private(server)


def test_a_release_whose_tag_was_raised_before_it_was_published_is_shown_too(release, server):
    with pytest.raises(Killed):
        release(until=killed)
    release("v2")
    assert not private(server)


def test_one_that_was_private_before_stays_so_and_that_is_said(release, server):
    server.store.create(TARGET, private=True, author="demo")
    assert f"{TARGET} stays private, which may be meant" in release()
    assert private(server)


def test_one_that_was_made_private_after_it_was_shown_stays_so(release, small, server):
    release()
    server.store.set_private(TARGET, True)
    assert "stays private" in release("v2")
    forget(small, "upload/commit")
    assert "stays private" in release("v2")
    assert private(server)


def test_one_that_was_put_in_its_place_stays_as_it_is(release, server):
    with pytest.raises(Killed):
        release(until=killed)
    server.store.delete(TARGET)
    server.store.create(TARGET, private=True, author="demo")
    assert "stays private" in release()
    assert private(server)


def test_one_that_was_put_in_its_place_during_the_run_stays_as_it_is(release, server):
    def replaced(*arguments):
        server.store.delete(TARGET)
        server.store.create(TARGET, private=True, author="demo")
        creating.show(*arguments)

    assert "stays private" in release(until=replaced)
    assert private(server)


def test_after_a_kill_one_that_somebody_uses_stays_as_it_is(release, small, server):
    with pytest.raises(Killed):
        release(until=killed)
    forget(small, creating.REPOSITORY)
    path = small.root / "theirs.txt"
    path.write_text("theirs")
    hub = HuggingFace(server.endpoint, "token")
    hub.commit(TARGET, [Upload(path, describe(path, "theirs.txt"))], [], parent=hub.head(TARGET), message="theirs")
    assert "stays private" in release()
    assert private(server)


def test_after_a_kill_one_of_another_time_stays_as_it_is(release, small, server, monkeypatch):
    with pytest.raises(Killed):
        release(until=killed)
    forget(small, creating.REPOSITORY)
    monkeypatch.setattr(creating, "_SOON", timedelta(0))
    assert "stays private" in release()
    assert private(server)


def test_in_a_new_workspace_nobody_knows_who_created_it(release, small, server):
    with pytest.raises(Killed):
        release(until=killed)
    for task in (creating.REPOSITORY, creating.INTENTION):
        forget(small, task)
    assert "stays private" in release()
    assert private(server)


def test_one_that_is_gone_is_created_anew_and_shown(release, server):
    release()
    server.store.delete(TARGET)
    release("v2")
    assert not private(server)
