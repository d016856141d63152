"""Before the first long task: rights, card and tag are looked at, at the embedded Hub."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from small_release import TARGET, SmallRelease

from pipeline import stages
from pipeline.engine.plan import in_order
from pipeline.engine.workspace import Record
from pipeline.errors import HubRefused
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Upload
from pipeline.hub.retry import NO_WAITING, Patient
from pipeline.manifest import describe
from pipeline.release.load import load_release
from pipeline.stages import upload
from pipeline.stages.job import Folders, Job, open_job
from pipeline.stages.preflight import check_private, check_rights, check_tag
from pipeline.stages.withdraw import plan_withdrawal, withdraw

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

OURS = "hf_ours"


@pytest.fixture
def small(repository, monkeypatch):
    monkeypatch.setenv(NO_WAITING, "1")
    return SmallRelease(repository.root)


@pytest.fixture
def opened(small):
    """A job at a Hub of two accounts, of which `demo` is the one that signs in unless another is given."""
    with LocalHub(small.root / ".pipeline/hub", tokens={OURS: "demo", "theirs": "somebody"}) as server:

        def opened(token: str = OURS) -> Job:
            folders = Folders(small.root, small.root / ".pipeline")
            hub = Patient(HuggingFace(server.endpoint, token))
            return open_job(load_release(small.root, "demo"), folders, hub, keep=False)

        opened.server = server
        yield opened


def head_task(job):
    return next(task for task in upload.tasks(job) if task.name == upload.HEAD)


def test_how_much_goes_where_is_said_before_it_is_sent(opened):
    opened().hub.create(TARGET)
    said = []
    head_task(opened()).run(SimpleNamespace(note=said.append))
    assert said == [f"up to 107 MB to send to {TARGET}, which holds 1.52 kB so far"]


def test_whoever_may_create_the_repository_may_begin(opened):
    assert check_rights(opened()) == "demo"


@pytest.mark.parametrize(
    ("token", "said"), [("theirs", "somebody is not demo and no member of it"), ("nobodys", "the Hub answered 401")]
)
def test_whoever_may_not_learns_it_at_once(opened, token, said):
    with pytest.raises(HubRefused, match=said) as caught:
        check_rights(opened(token))
    assert "`hf auth login`" in caught.value.hint


def test_a_repository_that_may_not_be_written_to(small, opened):
    opened.server.store.create(TARGET, private=False, author="demo")
    opened.server.faults.add(Fault("status", "*/auth-check/write", status=403, message="read only"))
    with pytest.raises(HubRefused, match=r"can be written: the Hub answered 403") as caught:
        check_rights(opened())
    assert "a token that may write" in caught.value.hint


def test_a_card_that_the_hub_will_not_take_is_refused_before_it_is_written(opened):
    job = opened()
    release = job.release.model_copy(update={"base": job.release.base.model_copy(update={"repo": "not a/repo"})})
    with pytest.raises(HubRefused, match="front matter"):
        check_rights(replace(job, asked=replace(job.asked, release=release)))


@pytest.mark.filterwarnings("ignore:Warnings while validating:UserWarning")  # there is no card yet
def test_a_tag_is_free_ours_somebody_elses_or_withdrawn(small, opened):
    job, server = opened(), opened.server
    server.store.create(TARGET, private=False, author="demo")
    check_tag(job)
    head = job.hub.head(TARGET)
    job.hub.tag(TARGET, "v1", head)
    with pytest.raises(HubRefused, match="which this release did not make"):
        check_tag(job)
    small.write_lock((), "v1", head)
    check_tag(job)
    planned = plan_withdrawal(job.hub, TARGET, "v1", "why", published=head, folder=small.root)
    withdraw(job.hub, TARGET, planned, small.root)
    with pytest.raises(HubRefused, match="was withdrawn") as caught:
        check_tag(job)
    assert "raise target.tag" in caught.value.hint


def test_the_head_is_recorded_and_looked_at_again_when_it_moved(small, opened):
    job = opened()
    opened.server.store.create(TARGET, private=False, author="demo")
    task = head_task(job)
    head = job.hub.head(TARGET)
    values = task.run(SimpleNamespace(note=lambda _: None))
    assert values == {"head": head}
    record = Record(upload.HEAD, {}, {}, values=values)
    assert task.check(record) is None
    path = small.root / "x.txt"
    path.write_text("x")
    moved = job.hub.commit(TARGET, [Upload(path, describe(path, "x.txt"))], [], parent=head, message="x")
    assert task.check(record) == f"main of {TARGET} is another commit, {moved[:12]}"
    small.write_lock((), "v1", moved)
    assert task.check(record) is None, "it is the commit that this release made"
    after = job.hub.commit(TARGET, [], ["x.txt"], parent=moved, message="no x")
    assert task.check(record) == f"main of {TARGET} is another commit, {after[:12]}"
    job.hub.tag(TARGET, "v1", moved)
    assert task.check(record) is None, "what comes after a release that is published is no matter of it"


def test_nothing_is_fetched_or_made_before_the_hub_has_said_that_it_may(opened):
    job = opened()
    order = [task.name for task in in_order(stages.tasks(job))]
    asked = order.index(upload.HEAD)
    long = [name for name in order if name.startswith(("download/", "quantize/", "validate/"))]
    assert len(long) > 20
    assert all(asked < order.index(name) for name in long)
    assert not any(task.after for task in stages.tasks(job, "validate")), "what publishes nothing asks nobody"


def test_what_is_to_be_private_does_not_go_where_everybody_looks(opened):
    job, server = opened(), opened.server
    target = job.release.target.model_copy(update={"private": True})
    private = replace(job, asked=replace(job.asked, release=job.release.model_copy(update={"target": target})))
    server.store.create(TARGET, private=False, author="demo")
    check_private(job)
    with pytest.raises(HubRefused, match="is public") as caught:
        head_task(private).run(None)
    assert "Make it private on the Hub" in caught.value.hint
    server.store.set_private(TARGET, private=True)
    check_private(private)
