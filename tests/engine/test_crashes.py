"""Whatever is killed wherever: the final files equal an uninterrupted run's, and no finished task runs twice."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.plan import plan
from pipeline.engine.progress import Silent
from pipeline.engine.run import run
from pipeline.engine.task import Lane, Task
from pipeline.engine.workspace import Workspace

LANES = (Lane("download", "", width=2), Lane("quantize", ""), Lane("upload", "", width=3))
KILLED = 9


class Fuse:
    """Kills this process when it has burnt down: every write, sync and rename burns one inch."""

    def __init__(self, length: int | None) -> None:
        self.left = length

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                os._exit(KILLED)


@st.composite
def graphs(draw):
    """Tasks as (needs, lane, transient), each needing earlier ones only."""
    count = draw(st.integers(2, 7))
    return [
        (
            tuple(sorted(draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else (),
            draw(st.sampled_from(LANES)),
            draw(st.booleans()),
        )
        for i in range(count)
    ]


def tasks_of(graph, log: Path, fuse: Fuse):
    def task(index, needs, lane, transient):
        def work(step):
            with log.open("a") as lines:
                lines.write(f"{index}\n")
            fuse.burn()
            eaten = b"".join(step.path(f"files/{need}").read_bytes() for need in needs)
            with step.path(f"files/{index}").open("wb") as out:
                for letter in f"{index}[".encode() + eaten + b"]":
                    fuse.burn()
                    out.write(bytes([letter]))
                    out.flush()
            step.advance(1)
            return {"length": len(eaten)}

        return Task(
            f"t{index}",
            lane,
            work,
            tuple(f"t{need}" for need in needs),
            outputs=(f"files/{index}",),
            transient=transient,
            work=1,
        )

    return [task(index, *row) for index, row in enumerate(graph)]


def attempt(graph, root: Path, fuse_length: int | None, window: int | None) -> int:
    """One run in a forked child that dies where its fuse ends; its exit status."""
    child = os.fork()
    if child == 0:
        fuse = Fuse(fuse_length)
        replace, fsync = Path.replace, os.fsync
        Path.replace = lambda self, target: (fuse.burn(), replace(self, target), fuse.burn())[1]
        os.fsync = lambda handle: (fuse.burn(), fsync(handle))[1]
        workspace = Workspace(root / "workspace")
        try:
            tasks = tasks_of(graph, root / "log", fuse)
            with workspace.locked():
                run(plan(tasks, workspace), workspace, Silent(), window=window)
        except BaseException:  # noqa: BLE001  a forked child must not return into pytest
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "workspace" / "files").iterdir()}


def starts(root: Path) -> list[str]:
    return (root / "log").read_text().split() if (root / "log").exists() else []


def finished(root: Path) -> set[str]:
    return {path.stem.removeprefix("t") for path in (root / "workspace" / "records").glob("t*.json")}


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), fuses=st.lists(st.integers(0, 60), max_size=5), window=st.sampled_from([None, None, 1, 3]))
def test_killed_anywhere_the_same_command_ends_with_the_same_files(graph, fuses, window):
    with tempfile.TemporaryDirectory() as folder:
        calm, stormy = Path(folder, "calm"), Path(folder, "stormy")
        calm.mkdir()
        stormy.mkdir()
        assert attempt(graph, calm, None, window) == 0
        for length in fuses:
            before = finished(stormy)
            already = len(starts(stormy))
            assert attempt(graph, stormy, length, window) in {0, KILLED}
            again = set(starts(stormy)[already:]) & before
            # With a window a base file may be gone when a task that needs it was killed: only then it is made again.
            assert not again or (window is not None and all(graph[int(i)][2] for i in again)), f"{again} ran twice"
        assert attempt(graph, stormy, None, window) == 0
        assert files(stormy) == files(calm)
        assert attempt(graph, stormy, None, window) == 0
        if window is None:
            assert len(starts(calm)) == len(graph)
            last_starts = len(starts(stormy))
            attempt(graph, stormy, None, window)
            assert len(starts(stormy)) == last_starts, "a finished release has nothing to do"
