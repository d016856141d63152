"""What is said of the room on the Hub before anything is sent, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from pipeline.errors import DoesNotFit
from pipeline.hub.protocol import Storage
from pipeline.manifest import File, Manifest
from pipeline.stages import storage

GB = 1_000_000_000


@dataclass(frozen=True)
class Shard:
    name: str
    size: int


def job(*sizes, shard_size=5 * GB, stays_private=False, repo="ann/model", **said):
    """A release of so many shards, and what the Hub says of its repository."""
    known = Storage(**{"used": 0, "private": True, "free": True, **said})
    return SimpleNamespace(
        release=SimpleNamespace(target=SimpleNamespace(repo=repo, private=stays_private, shard_size=shard_size)),
        layout=SimpleNamespace(shards=[Shard(f"model-{n}.safetensors", size) for n, size in enumerate(sizes, 1)]),
        base=SimpleNamespace(files=Manifest((File("tokenizer.json", 1),))),
        hub=SimpleNamespace(storage=lambda _: known),
    )


def said(*sizes, **known):
    return list(storage.remarks(job(*sizes, **known)))


def test_how_much_is_to_be_sent_stands_beside_what_is_there():
    assert said(5 * GB, 5 * GB, used=70 * GB) == ["up to 10.0 GB to send to ann/model, which holds 70.0 GB so far"]
    assert said(5 * GB, used=None) == ["up to 5.00 GB to send to ann/model"]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"free": True}, "a free account has 100 GB of private storage; the Hub may refuse"),
        ({"free": False, "used": 800 * GB}, "an account that pays has 1.00 TB of private storage; the Hub charges"),
        ({"free": None, "repo": "lab/model"}, "does not say which lab is, may refuse or charge"),
    ],
)
def test_a_private_repository_that_may_grow_too_large_is_worth_a_word(known, words):
    _, remark = said(*[5 * GB] * 70, **known)
    assert words in remark
    assert "Made public on the Hub now" in remark
    _, remark = said(*[5 * GB] * 70, **known, stays_private=True)
    assert "Made public" not in remark


@pytest.mark.parametrize("known", [{"private": False}, {"free": False}])
def test_one_with_room_is_not(known):
    assert len(said(*[5 * GB] * 70, **known)) == 1
    assert len(said(*[5 * GB] * 20)) == 1, "exactly what a free account has"
    assert len(said(*[5 * GB] * 20, used=1)) == 2


def test_what_is_recommended_is_said():
    _, remark = said(201 * GB, private=False)
    assert remark == "the Hub recommends files below 200 GB: lower `target.shard_size`"
    _, remark = said(*[1] * 100, private=False)
    assert "101 files go into one commit" in remark
    assert len(said(*[1] * 99, private=False)) == 1


def test_what_the_hub_would_not_take_is_refused():
    storage.check_files(job(500 * GB, *[1] * 9_998))
    with pytest.raises(
        DoesNotFit, match=r"model-2\.safetensors would have 501 GB, and the Hub takes no file above"
    ) as why:
        storage.check_files(job(1, 501 * GB, shard_size=600 * GB))
    assert "Lower `target.shard_size`" in why.value.hint
    with pytest.raises(DoesNotFit) as why:
        storage.check_files(job(1, 501 * GB))
    assert "one tensor" in why.value.hint
    with pytest.raises(DoesNotFit, match="there would be 10,001 files in one folder") as why:
        storage.check_files(job(*[1] * 10_000))
    assert "Raise `target.shard_size`" in why.value.hint
