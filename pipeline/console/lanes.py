"""How far each lane is, how fast it goes and when it ends: only numbers, so that bars and plain lines agree."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.engine.plan import Plan
    from pipeline.engine.task import Lane, Task

_WINDOW = 15.0
_FINEST = 0.2
_SOONEST = 1.0


@dataclass
class Rate:
    """Work a second over the last `_WINDOW` seconds; a task that reports rarely is measured from report to report."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def resume(self, now: float, idle: float) -> None:
        """Work begins, or goes on after `idle` seconds of waiting for another lane, which do not count."""
        self.samples = deque((time + idle, total) for time, total in self.samples or [(now - idle, self.total)])

    def add(self, amount: int, now: float) -> None:
        self.total += amount
        if len(self.samples) > 1 and now - self.samples[-1][0] < _FINEST:
            self.samples[-1] = (self.samples[-1][0], self.total)
        else:
            self.samples.append((now, self.total))
        while len(self.samples) > 2 and self.samples[1][0] <= now - _WINDOW:
            self.samples.popleft()

    def per_second(self, now: float) -> float:
        """0.0 while nothing is known."""
        if not self.samples or now - self.samples[0][0] < _SOONEST:
            return 0.0
        since, before = self.samples[0]
        return max(self.total - before, 0) / (now - since)


@dataclass
class LaneProgress:
    """One lane that has work. Times are seconds of one monotonic clock.

    total: the sum of the tasks' own estimates, in the lane's unit; 0 when they know none.
    running: what each running task has reported.
    resumed: how much of that each task found done already, which the rate does not count.
    """

    lane: Lane
    tasks: int = 0
    total: int = 0
    finished: int = 0
    reused: int = 0
    finished_work: int = 0
    failed: bool = False
    stopped: bool = False
    began: float | None = None
    ended: float | None = None
    running: dict[str, int] = field(default_factory=dict)
    resumed: dict[str, int] = field(default_factory=dict)
    estimates: dict[str, int] = field(default_factory=dict)
    rate: Rate = field(default_factory=Rate)

    def start(self, task: Task, now: float) -> None:
        if self.began is None:
            self.began = now
        if not self.running:
            self.rate.resume(now, idle=0.0 if self.ended is None else now - self.ended)
        self.running[task.name] = 0

    def advance(self, task: Task, amount: int, now: float, *, resumed: bool = False) -> None:
        self.running[task.name] += amount
        if resumed:
            self.resumed[task.name] = self.resumed.get(task.name, 0) + amount
        else:
            self.rate.add(amount, now)

    def finish(self, task: Task, now: float, *, reused: bool) -> None:
        self.finished += 1
        self.reused += reused
        self.finished_work += task.work
        self._leave(task, now)

    def fail(self, task: Task, now: float, *, stopped: bool) -> None:
        """stopped: the task was well, but the run is ending."""
        self.stopped |= stopped
        self.failed |= not stopped
        self._leave(task, now)

    def _leave(self, task: Task, now: float) -> None:
        self.running.pop(task.name, None)
        self.ended = now
        if self.began is None:
            self.began = now

    @property
    def done(self) -> int:
        """Work done, never more than `total`: a task's own estimate caps what it reports."""
        return self.finished_work + sum(max(0, min(got, self.estimates[name])) for name, got in self.running.items())

    @property
    def fraction(self) -> float:
        if not self.total:
            return self.finished / self.tasks
        return self.done / self.total

    @property
    def is_finished(self) -> bool:
        return self.finished == self.tasks

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return (self.ended or 0.0) - (self.began or 0.0)

    @property
    def average(self) -> float:
        return max(self.rate.total, 0) / self.seconds if self.seconds > 0 else 0.0

    def left(self, now: float) -> float | None:
        """Seconds; None when the rate is unknown or nothing moves."""
        rate = self.rate.per_second(now)
        return (self.total - self.done) / rate if rate and self.running and self.total > self.done else None


def lanes_in_order(plan: Plan) -> list[Lane]:
    """The lanes as they end: uploading begins before validation does, but its last task is the last of all."""
    return list(dict.fromkeys(decision.task.lane for decision in reversed(plan.decisions)))[::-1]


def lanes_to_run(plan: Plan) -> dict[str, LaneProgress]:
    """By name, every lane that has work."""
    lanes = {}
    for lane in lanes_in_order(plan):
        work = {decision.task.name: decision.task.work for decision in plan.to_run if decision.task.lane == lane}
        if work:
            lanes[lane.name] = LaneProgress(lane, tasks=len(work), total=sum(work.values()), estimates=work)
    return lanes
