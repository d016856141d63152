"""One release through everything that a schedule holds against it: run, killed, and run again until it ends."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from world import ACCOUNT, TARGET, TOKEN, bytes_of_shards, tree

from pipeline.hub.local.faults import Faults
from pipeline.hub.local.server import LocalHub

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from schedules import Kill, Schedule
    from world import Place

    from pipeline.hub.local.faults import Fault, Fired
    from pipeline.hub.local.store import Store

UPLOADS_AT_ONCE = 2
_LONGEST = 180  # seconds of one run; an undisturbed one takes three
_OBJECT = re.compile(r"/signed/[^/]+/objects/([0-9a-f]{64})/(\d+)")


@dataclass(frozen=True)
class State:
    """What everybody can see of the repository: whether it is there for all, its head, its tags."""

    private: bool
    head: str
    tags: Mapping[str, str]


@dataclass
class Happened:
    """All that is needed to judge a rehearsal.

    codes: exit code of every run, -9 of a killed one. codes, fired_in: one entry a run.
    again: exit code of one more run, on a clear day, and said_again what it said.
    states: of the repository, as the Hub saw them between any two requests.
    sent_again: blobs that arrived at the Hub although it held them.
    done: when the record of each task was written that was done here. redone: tasks that were done and ran again.
    rotten: names of files that were spoiled on the disk.
    sent: bytes of shards that arrived. dropped: bytes that the Hub dropped. on_the_way: bytes of shards that could be
    on their way when a run ended before it was done.
    """

    schedule: Schedule
    place: Place
    codes: list[int] = field(default_factory=list)
    fired_in: list[list[Fired]] = field(default_factory=list)
    again: int = 0
    said: str = ""
    said_again: str = ""
    states: list[State] = field(default_factory=list)
    sent_again: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    redone: list[str] = field(default_factory=list)
    rotten: list[str] = field(default_factory=list)
    before: Mapping[str, str] = field(default_factory=dict)
    sent: int = 0
    dropped: int = 0
    on_the_way: int = 0
    seconds: float = 0.0

    @property
    def fired(self) -> list[Fired]:
        return [fired for run in self.fired_in for fired in run]

    @property
    def kills(self) -> int:
        return sum(code == -signal.SIGKILL for code in self.codes)


class Watched(Faults):
    """The faults of a schedule; it also looks at the repository at every request, and kills when it is time."""

    def __init__(self, schedule: Schedule, store: Store, happened: Happened) -> None:
        super().__init__(schedule.faults, seed=schedule.seed)
        self._store = store
        self._happened = happened
        self.process: subprocess.Popen[bytes] | None = None
        self.kill_at = 0
        self.requests = 0

    def due(self, method: str, path: str) -> Fault | None:
        self._look()
        self.requests += 1
        if self.process and self.requests == self.kill_at:
            os.kill(self.process.pid, signal.SIGKILL)
        found = _OBJECT.fullmatch(path)
        if method == "PUT" and found and self._store.blobs.size(found[1]) is not None:
            self._happened.sent_again.append(found[1])
        fault = super().due(method, path)
        if fault and fault.kind == "collected":
            self._happened.dropped += _uncommitted(self._store, fault.blobs)
        return fault

    def _look(self) -> None:
        if self._store.has(TARGET):
            refs = self._store.refs(TARGET)
            state = State(refs.private, refs.branches["main"], refs.tags)
            if state not in self._happened.states:
                self._happened.states.append(state)


def rehearse(schedule: Schedule, place: Place) -> Happened:
    """Run the release until it says that it is done, then once more on a clear day."""
    happened = Happened(schedule, place)
    if place.store.has(TARGET):
        happened.before = tree(place.store, "main")
    watched = Watched(schedule, place.store, happened)
    dice = random.Random(f"{schedule.seed} on the disk")
    started = time.monotonic()
    with LocalHub(place.hub, tokens={TOKEN: ACCOUNT}, faults=watched) as hub:
        for number in range(len(schedule.kills) + len(schedule.faults) + 2):
            kill = schedule.kills[number] if number < len(schedule.kills) else None
            code = _run(hub, watched, happened, kill)
            if code == 0:
                break
            if number in schedule.rot:
                _rot(place, dice, happened)
        happened.sent = bytes_of_shards(hub.requests)
        hub.faults.clear()
        said = place.folder / "said-again.txt"
        happened.again = place.command(hub.endpoint, schedule.way, said).wait()
        happened.said_again = said.read_text()
        watched.due("", "")
    happened.said = (place.folder / "said.txt").read_text()
    happened.seconds = time.monotonic() - started
    return happened


def _run(hub: LocalHub, watched: Watched, happened: Happened, kill: Kill | None) -> int:
    place, fired = happened.place, len(watched.fired)
    before = records(place)
    watched.requests, watched.kill_at = 0, kill.nth if kill and kill.at == "request" else 0
    with place.command(hub.endpoint, happened.schedule.way, place.folder / "said.txt") as process:
        watched.process = process
        code = _wait(process, place, len(before) + kill.nth if kill and kill.at == "task" else None)
        watched.process = None
    happened.codes.append(code)
    happened.fired_in.append(watched.fired[fired:])
    written = dict(records(place).items() - before.items())
    happened.redone += written.keys() & happened.done.keys()
    happened.done |= written
    if code != 0:
        happened.on_the_way += _unsent(place)
    return code


def _wait(process: subprocess.Popen[bytes], place: Place, records_at_kill: int | None) -> int:
    """The exit code; kill -9 as soon as so many tasks are on record."""
    until = time.monotonic() + _LONGEST
    while process.poll() is None and time.monotonic() < until:
        if records_at_kill is not None and len(records(place)) >= records_at_kill:
            process.kill()
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
        process.wait()
        raise TimeoutError(f"a run had not ended after {_LONGEST} s")
    return process.returncode


def records(place: Place) -> dict[str, int]:
    """When the record of each finished task was written, in nanoseconds."""
    folder = place.workspace / "records"
    found = {}
    for path in sorted(folder.rglob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # a release forgets what one before it made
            found[str(path.relative_to(folder).with_suffix(""))] = path.stat().st_mtime_ns
    return found


def _unsent(place: Place) -> int:
    """Bytes of the largest shards that are made and not recorded as sent, as many as are sent at once, and of plots."""
    known = records(place)
    shards = (place.workspace / "model").glob("*.safetensors")
    sizes = [path.stat().st_size for path in shards if f"upload/{path.name}" not in known]
    plots = (place.workspace / "card" / "assets").glob("*.png")
    return sum(sorted(sizes)[-UPLOADS_AT_ONCE:]) + sum(path.stat().st_size for path in plots)


def _rot(place: Place, dice: random.Random, happened: Happened) -> None:
    """Flip a bit of one file of the base or the model that lies in the workspace, or remove it."""
    files = [path for folder in ("base", "model") for path in sorted((place.workspace / folder).rglob("*.safetensors"))]
    if not files:
        return
    path = dice.choice(files)
    happened.rotten.append(path.name)
    if dice.random() < 0.3:
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def _uncommitted(store: Store, most: int | None) -> int:
    """Bytes of the first `most` blobs, by name, that the Hub holds and no commit refers to."""
    committed = {
        entry.sha256
        for repository in store.repositories()
        for head in store.refs(repository).names.values()
        for commit in store.history(repository, head)
        for entry in store.tree(repository, commit.id).values()
    }
    stored = sorted({*store.blobs.stored(), *store.xet.stored()} - committed)
    return sum(store.large_size(sha256) or 0 for sha256 in stored[:most])
