"""A run as it happens: live bars on a terminal, plain lines everywhere else."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from pipeline.console.bars import bars
from pipeline.console.lanes import lanes_to_run
from pipeline.console.terminal import one_line, print_hanging, print_line, stderr
from pipeline.console.words import amount, clock, duration, part, rate
from pipeline.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console

    from pipeline.console.lanes import LaneProgress
    from pipeline.engine.plan import Plan
    from pipeline.engine.task import Task
    from pipeline.engine.workspace import Record

_EVERY = 10.0
_REDRAWS = 8.0


class Progress:
    """Shows a run on standard error (`pipeline.engine.progress.Observer`); a context, so that the cursor comes back.

    live: bars or plain lines; by default whatever the console can do.
    clock: monotonic seconds.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or stderr()
        self._clock = clock
        self._lanes: dict[str, LaneProgress] = {}
        self._told: dict[str, float] = {}
        self._began = clock()
        # Guards the numbers, and is never held while something is printed: the live display has a lock of its own and
        # asks for the numbers while holding it.
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._live: Live | None = None
        if can_be_live(self._console) if live is None else live:
            self._live = Live(console=self._console, get_renderable=self._draw, refresh_per_second=_REDRAWS)

    def __enter__(self) -> Self:
        if not self._live:
            threading.Thread(target=self._tell_regularly, name="progress", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the bars as they are; what is printed from now on stands below them."""
        self._closed.set()
        if self._live and self._live.is_started:
            self._live.stop()
            self._console.line()

    def planned(self, plan: Plan) -> None:
        """Begins to draw bars, if there is anything to run."""
        with self._lock:
            self._began = self._clock()
            self._lanes = lanes_to_run(plan)
        if self._live and self._lanes and not self._live.is_started:
            self._console.line()
            self._live.start()

    def started(self, task: Task) -> None:
        with self._lock:
            now = self._clock()
            lane = self._lanes[task.lane.name]
            if not lane.running:
                self._told[task.lane.name] = now
            lane.start(task, now)

    def advanced(self, task: Task, amount: int, *, resumed: bool = False) -> None:
        with self._lock:
            self._lanes[task.lane.name].advance(task, amount, self._clock(), resumed=resumed)
        self.tell()

    def noted(self, task: Task, line: str) -> None:
        self.remark(f"{task.name}: {line}")

    def remark(self, line: str) -> None:
        """Something worth reading that belongs to no task; on the same console, so that live bars stay whole."""
        print_hanging(self._console, Text(), Text(one_line(line), style="dim"))

    def finished(self, task: Task, record: Record, *, reused: bool) -> None:
        with self._lock:
            lane = self._lanes[task.lane.name]
            how = _how(task, record, lane.resumed.get(task.name, 0), reused=reused)
            lane.finish(task, self._clock(), reused=reused)
            line = f"{one_line(task.name)}: {how} ({lane.finished} of {lane.tasks})"
        self._say(line)

    def failed(self, task: Task, error: BaseException) -> None:
        stopped = isinstance(error, Interrupted)
        with self._lock:
            self._lanes[task.lane.name].fail(task, self._clock(), stopped=stopped)
        if not stopped:
            self._say(f"{one_line(task.name)}: failed")

    def tell(self) -> None:
        """In plain lines, say how far each lane is that was not heard of for a while."""
        if self._live:
            return
        with self._lock:
            now = self._clock()
            due = [lane for name, lane in self._lanes.items() if lane.running and now - self._told[name] >= _EVERY]
            self._told.update({lane.lane.name: now for lane in due})
            lines = [_how_far(lane, now) for lane in due]
        for line in lines:
            self._say(line)

    def _tell_regularly(self) -> None:
        while not self._closed.wait(1.0):
            self.tell()

    def _say(self, line: str) -> None:
        if not self._live:
            print_line(self._console, Text(line))

    def _draw(self) -> Group:
        with self._lock:
            now = self._clock()
            lines = bars(self._lanes.values(), self._console.width, now)
            tasks = sum(lane.tasks for lane in self._lanes.values())
            finished = sum(lane.finished for lane in self._lanes.values())
            if lines:
                lines.append(Text(f"  {finished} of {tasks} tasks, {clock(now - self._began)} elapsed", style="dim"))
        return Group(*lines)


def can_be_live(console: Console) -> bool:
    """Whether lines can be drawn over: a terminal with a cursor, bars in its encoding, and a person before it."""
    watched = os.environ.get("CI", "").lower() in {"", "0", "false"}
    # FORCE_COLOR makes rich take a pipe for a terminal; colours do no harm there, a moving cursor does.
    return watched and console.is_interactive and console.file.isatty() and console.encoding.startswith("utf")


def _how(task: Task, record: Record, resumed: int, *, reused: bool) -> str:
    if reused:
        return "stands, what it needs came out as before"
    if not task.work:
        return f"done in {duration(record.seconds)}"
    new = max(0, task.work - resumed)
    speed = f", {rate(new / record.seconds, task.lane.unit)}" if record.seconds >= 1 and new else ""
    already = ""
    if resumed:
        already = f", {amount(resumed, task.lane.unit) + ' of it were' if new else 'all of it was'} here already"
    return f"{amount(task.work, task.lane.unit)} in {duration(record.seconds)}{speed}{already}"


def _how_far(lane: LaneProgress, now: float) -> str:
    if not lane.total:
        elapsed = duration(now - (lane.began or now))
        return f"{one_line(lane.lane.name)}: {lane.finished} of {lane.tasks} tasks, {elapsed} so far"
    speed, left = lane.rate.per_second(now), lane.left(now)
    return ", ".join(
        [
            f"{one_line(lane.lane.name)}: {int(lane.fraction * 100)} %",
            part(lane.done, lane.total, lane.lane.unit),
            rate(speed, lane.lane.unit),
            *([f"{duration(left)} left"] if left is not None else []),
        ]
    )
