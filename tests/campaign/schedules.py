"""What goes wrong in one rehearsal, drawn from a seed: faults of the Hub, kill -9, and files that rot on the disk."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipeline.hub.local.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

Way: TypeAlias = Literal["xet", "lfs"]
Scene: TypeAlias = Literal["first", "next", "elsewhere"]
WAYS: tuple[Way, ...] = ("xet", "lfs")
SCENES: tuple[Scene, ...] = ("first", "next", "elsewhere")
"""A repository that does not exist yet; the release after one that is published; the same, on another machine."""

TARGET = "/api/models/demo/tiny-MLX/"
LONGER_THAN_PATIENCE = 5.0
"""Seconds of a stall after which `impatient.py` has given up, while the Hub still does what it was asked."""
UPLOADS = {"lfs": ("PUT", "/signed/*"), "xet": ("POST", "/xet/*/v1/xorbs/*")}
"""Method and path of the requests that carry the bytes of shards; what Xet cannot send goes the other way, too."""
_REQUESTS = 90  # of an undisturbed release, or about
_TASKS = 28


@dataclass(frozen=True)
class Kill:
    """kill -9 of one run: when its `nth` request reaches the Hub, or when it has finished its `nth` task."""

    at: Literal["request", "task"]
    nth: int


@dataclass(frozen=True)
class Schedule:
    """seed: draws it again. kills: of the first runs, one each. rot: after which of those runs a file rots."""

    seed: int
    way: Way
    scene: Scene
    faults: tuple[Fault, ...]
    kills: tuple[Kill, ...]
    rot: frozenset[int]


def draw(seed: int) -> Schedule:
    """The same schedule for the same seed; six seeds in a row have each way and scene once."""
    dice = random.Random(seed)
    way, scene = WAYS[seed % 2], SCENES[seed // 2 % 3]
    kills = tuple(_kill(dice) for _ in range(dice.choice((0, 1, 1, 2, 2, 3, 3, 4))))
    faults = tuple(dice.choice(_KINDS)(dice, way) for _ in range(dice.randint(2, 7)))
    rot = frozenset(run for run in range(len(kills)) if dice.random() < 0.3)
    return Schedule(seed, way, scene, faults, kills, rot)


def _kill(dice: random.Random) -> Kill:
    if dice.random() < 0.7:
        return Kill("request", dice.randint(1, _REQUESTS))
    return Kill("task", dice.randint(1, _TASKS))


def _anywhere(dice: random.Random, way: Way) -> tuple[str, str, int]:
    """Path, method and which of these requests: of all, of those that change something, or of one shard's."""
    method, path = UPLOADS[way]
    path, method, last = dice.choice(
        (
            ("*", "*", _REQUESTS),
            (f"{TARGET}*", "*", 30),
            (path, method, 8),
            ("*/batch", "POST", 8),
            (f"{TARGET}commit/*", "POST", 2),
            (f"{TARGET}tag/*", "POST", 1),
            ("/api/repos/create", "POST", 1),
            (f"{TARGET}settings", "PUT", 1),
        )
    )
    return path, method, dice.randint(1, last)


def _dropped(dice: random.Random, way: Way) -> Fault:
    path, method, nth = _anywhere(dice, way)
    return Fault("drop", path, method, nth=(nth,), when=dice.choice(("before", "middle", "after", "after")))


def _out_of_order(dice: random.Random, way: Way) -> Fault:
    path, method, nth = _anywhere(dice, way)
    some = tuple(range(nth, nth + dice.choice((1, 1, 3))))
    return Fault("status", path, method, nth=some, status=dice.choice((500, 502, 503, 504)))


def _out_for_long(dice: random.Random, _: Way) -> Fault:
    first = dice.randint(1, 30)
    return Fault("status", f"{TARGET}*", nth=tuple(range(first, first + 9)))


def _too_many(dice: random.Random, way: Way) -> Fault:
    path, method, nth = _anywhere(dice, way)
    return Fault("status", path, method, nth=(nth,), status=429, headers={"Retry-After": str(dice.randint(1, 9))})


def _refused(dice: random.Random, way: Way) -> Fault:
    path, method, nth = _anywhere(dice, way)
    return Fault("status", path, method, nth=(nth,), status=dice.choice((401, 403)), message="not now")


def _stalled(dice: random.Random, way: Way) -> Fault:
    path, method, nth = _anywhere(dice, way)
    return Fault("stall", path, method, nth=(nth,), seconds=dice.choice((0.3, LONGER_THAN_PATIENCE)))


def _slow(dice: random.Random, way: Way) -> Fault:
    path, method, nth = _anywhere(dice, way)
    return Fault("slow", path, method, nth=(nth,), rate=dice.choice((300_000, 3_000_000)))


def _no_way_through(dice: random.Random, _: Way) -> Fault:
    """Xet takes no shard for a while, so that some go to large-file storage."""
    return Fault("status", "/xet/*", "POST", status=500, nth=tuple(range(first := dice.randint(1, 6), first + 60)))


def _truncated(dice: random.Random, _: Way) -> Fault:
    return Fault("truncated", dice.choice(("/api/*", "/signed/*", "/xet/*", "*")), "GET", nth=(dice.randint(1, 20),))


def _corrupted(dice: random.Random, _: Way) -> Fault:
    return Fault("corrupted", "/signed/*", "GET", nth=(dice.randint(1, 4),))


def _expired(dice: random.Random, _: Way) -> Fault:
    return Fault("expired", "/signed/*", nth=(dice.randint(1, 8),))


def _quota(dice: random.Random, _: Way) -> Fault:
    where = dice.choice(("*/batch", f"{TARGET}commit/*", f"{TARGET}preupload/*"))
    return Fault("quota", where, nth=(dice.randint(1, 6),))


def _moved(dice: random.Random, _: Way) -> Fault:
    where = dice.choice(("commit/*", "commit/*", "refs", "tag/*", "preupload/*", "revision/*"))
    file = dice.choice(("theirs.txt", "README.md", "config.json", "model-00001-of-00003.safetensors"))
    return Fault("moved", TARGET + where, nth=(dice.randint(1, 6),), file=file)


def _collected(dice: random.Random, _: Way) -> Fault:
    where = dice.choice(("*/batch", f"{TARGET}commit/*", f"{TARGET}preupload/*", f"{TARGET}revision/*"))
    return Fault("collected", where, nth=(dice.randint(1, 6),), blobs=dice.choice((1, None)))


_KINDS: tuple[Callable[[random.Random, Way], Fault], ...] = (
    _dropped,
    _dropped,
    _out_of_order,
    _out_for_long,
    _too_many,
    _refused,
    _stalled,
    _slow,
    _no_way_through,
    _truncated,
    _corrupted,
    _expired,
    _quota,
    _moved,
    _collected,
)
