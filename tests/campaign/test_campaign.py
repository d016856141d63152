"""A few of the campaign's days in every run of the tests, days that once went wrong, and that its judges can say no."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from invariants import violations
from rehearsal import State, rehearse
from report import outcome, report
from schedules import SCENES, TARGET, WAYS, Schedule, draw
from world import TARGET as REPOSITORY
from world import TOKEN, World

from pipeline.hub.local.contents import Put, Remove
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.store import Store


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    made.prepare()
    return made


def judged(world, schedule, folder):
    reference = world.references[schedule.scene, schedule.way]
    happened = rehearse(schedule, world.copy(schedule.scene, schedule.way, folder / "place"))
    return happened, violations(happened, reference)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_day_like_any_other(seed, world, tmp_path):
    happened, found = judged(world, draw(seed), tmp_path)
    assert not found, happened.said


ONCE_WRONG = {
    "the shards of the release before lay in the model folder": Schedule(0, "xet", "next", (), (), frozenset()),
    "it was tagged, and could not be made public": Schedule(
        0, "lfs", "first", (Fault("status", f"{TARGET}settings", status=401, nth=(1,)),), (), frozenset()
    ),
    "somebody committed when all was done but the tag": Schedule(
        0, "lfs", "next", (Fault("moved", f"{TARGET}tag/*"),), (), frozenset()
    ),
    "a bit of a header was another": Schedule(
        0, "lfs", "elsewhere", (Fault("corrupted", "/signed/*", "GET", nth=(1,)),), (), frozenset()
    ),
}


@pytest.mark.parametrize("what", ONCE_WRONG)
def test_a_day_that_once_went_wrong(what, world, tmp_path):
    happened, found = judged(world, ONCE_WRONG[what], tmp_path)
    assert not found, happened.said
    assert len(happened.fired) == len(ONCE_WRONG[what].faults), "it did not happen"


def test_the_same_seed_is_the_same_day_and_all_scenes_come_alike_often():
    days = [draw(seed) for seed in range(60)]
    assert days == [draw(seed) for seed in range(60)]
    assert len({repr(day.faults) for day in days}) == 60
    for way in WAYS:
        for scene in SCENES:
            assert sum((day.way, day.scene) == (way, scene) for day in days) == 10


@pytest.fixture(scope="session")
def quiet(world, tmp_path_factory):
    """What happened on a day without trouble, to be spoiled."""
    happened, found = judged(world, Schedule(0, "lfs", "next", (), (), frozenset()), tmp_path_factory.mktemp("quiet"))
    assert not found, happened.said
    return happened


def a_commit_of_ours(happened, *operations):
    store = Store(happened.place.hub)
    return store.commit(REPOSITORY, "main", operations, message="x", author="demo")


def half_a_release(happened):
    a_commit_of_ours(happened, Remove("config.json"))


def nothing_at_all(happened):
    happened.said_again = "1 of 28 tasks to run"


def a_stale_file(happened):
    entry = Store(happened.place.hub).add_regular("stale.txt", b"of the release before")
    commit = a_commit_of_ours(happened, Put(entry))
    store = Store(happened.place.hub)
    store.delete_ref(REPOSITORY, "refs/tags/v2")
    store.create_ref(REPOSITORY, "refs/tags/v2", commit)


def a_tag_that_moves(happened):
    tags = dict(happened.states[-1].tags) | {"v1": happened.states[-1].head}
    happened.states.append(replace(happened.states[-1], tags=tags))


def an_empty_public_repository(happened):
    store = happened.place.store
    *_, first = store.history(REPOSITORY, store.resolve(REPOSITORY, "main"))
    happened.states.append(State(private=False, head=first.id, tags={}))


def a_token_on_the_disk(happened):
    (happened.place.workspace / "records" / "x.json").write_text(TOKEN)


def a_private_repository(happened):
    Store(happened.place.hub).set_private(REPOSITORY, private=True)


def lost_bytes(happened):
    shard = next(sha for path, sha in world_tree(happened).items() if path.endswith(".safetensors"))
    Store(happened.place.hub).blobs.drop(shard)


def world_tree(happened):
    store = happened.place.store
    return {path: entry.sha256 for path, entry in store.tree(REPOSITORY, store.resolve(REPOSITORY, "v2")).items()}


SPOILT = {
    half_a_release: "neither the old release nor the new one",
    nothing_at_all: "one more run did something",
    a_stale_file: "stale.txt is not what",
    a_tag_that_moves: "moved",
    an_empty_public_repository: "a repository without a release",
    a_token_on_the_disk: "the token is in",
    a_private_repository: "still private",
    lost_bytes: "does not hold the bytes",
    lambda happened: happened.codes.insert(0, 1): "ended with 1",
    lambda happened: happened.codes.append(4): "not done after",
    lambda happened: happened.redone.append("quantize/x"): "quantize/x was finished and ran again",
    lambda happened: happened.sent_again.append("x"): "although the Hub held",
    lambda happened: setattr(happened, "sent", happened.sent + 1): "1 bytes of large files were sent again",
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_the_judges_can_say_no(spoil, quiet, world, tmp_path):
    place = replace(quiet.place, folder=tmp_path / "place")
    shutil.copytree(quiet.place.folder, place.folder)
    happened = replace(quiet, place=place, codes=[*quiet.codes], states=[*quiet.states], redone=[], sent_again=[])
    spoil(happened)
    happened.fired_in = [[] for _ in happened.codes]
    found = violations(happened, world.references["next", "lfs"])
    assert any(SPOILT[spoil] in line for line in found), found


def test_a_report_counts_what_happened(quiet, world):
    reference = world.references["next", "lfs"]
    bad = outcome(quiet, reference, ["something"])
    good = outcome(replace(quiet, codes=[-9, 4, 0]), reference, [])
    text = report([good, bad])
    assert "| **violations** |  | **1** | **1** |" in text
    assert "| `kill -9` |  | 1 | 1 |" in text
    assert "| … that ended with exit code 4 |  | 1 | 1 |" in text
    assert "| … sent over needed |  | 1.000 | 1.000 |" in text
