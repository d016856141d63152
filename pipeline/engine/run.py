"""Run a plan: a task starts when what it needs is there, each lane at its own width."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from pipeline.engine.plan import found
from pipeline.engine.workspace import Output, Record
from pipeline.errors import Interrupted, WorkspaceError
from pipeline.manifest import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engine.plan import Decision, Plan
    from pipeline.engine.progress import Observer
    from pipeline.engine.task import Task
    from pipeline.engine.workspace import Workspace


def run(plan: Plan, workspace: Workspace, observer: Observer, *, window: int | None = None) -> None:
    """Carry out `plan`; the first failure stops everything, and what was finished stays finished.

    window: bytes of transient outputs (downloaded base files) to keep on disk; None keeps them all for ever.

    Raises: whatever a task raised; Interrupted after Ctrl-C; WorkspaceError when the disk is full.
    """
    observer.planned(plan)
    with ExitStack() as pools:
        _Run(plan, workspace, _OneAtATime(observer), window, pools).go()


class _Run:
    def __init__(
        self, plan: Plan, workspace: Workspace, observer: Observer, window: int | None, pools: ExitStack
    ) -> None:
        self.workspace = workspace
        self.observer = observer
        self.stopping = threading.Event()
        self.decisions = {d.task.name: d for d in plan}
        self.disk = _DiskWindow(plan, workspace, window)
        lanes = {d.task.lane for d in plan.to_run}
        self.pools = {
            lane: pools.enter_context(ThreadPoolExecutor(lane.width, thread_name_prefix=lane.name)) for lane in lanes
        }
        self.waiting: dict[str, deque[Decision]] = {lane.name: deque() for lane in lanes}
        self.running: dict[Future[None], Decision] = {}
        self.sorter = TopologicalSorter({d.task.name: (*d.task.needs, *d.task.after) for d in plan})

    def go(self) -> None:
        self.sorter.prepare()
        failure: BaseException | None = None
        try:
            self._admit_ready()
            while self.running and not failure:
                failure = self._finish_some()
                if not failure:
                    self._admit_ready()
        except KeyboardInterrupt:
            failure = Interrupted("stopped", hint="Run the same command again: it goes on from here.")
        finally:
            self.stopping.set()
            wait(self.running)
        if failure:
            raise failure

    def _admit_ready(self) -> None:
        while ready := self.sorter.get_ready():
            for name in ready:
                decision = self.decisions[name]
                if decision.reason:
                    self.waiting[decision.task.lane.name].append(decision)
                else:
                    if decision.record != self.workspace.record(name) and decision.record:
                        self.workspace.keep(decision.record)
                    self._done(name)
        for lane, pool in self.pools.items():
            busy = sum(d.task.lane == lane for d in self.running.values())
            queue = self.waiting[lane.name]
            while queue and busy < lane.width and self.disk.admits(queue[0].task):
                self._start(pool, queue.popleft())
                busy += 1
        if not self.running:
            # Everything that waits is held back by the disk window: one file more is better than no progress.
            for lane, pool in self.pools.items():
                if self.waiting[lane.name]:
                    self._start(pool, self.waiting[lane.name].popleft())
                    return

    def _start(self, pool: ThreadPoolExecutor, decision: Decision) -> None:
        self.disk.take(decision.task)
        self.running[pool.submit(self._execute, decision)] = decision

    def _finish_some(self) -> BaseException | None:
        finished, _ = wait(self.running, return_when=FIRST_COMPLETED)
        failures = []
        for future in finished:
            decision = self.running.pop(future)
            if error := future.exception():
                failures.append(error)
            else:
                self._done(decision.task.name)
        return next((f for f in failures if not isinstance(f, Interrupted)), failures[0] if failures else None)

    def _done(self, name: str) -> None:
        self.sorter.done(name)
        self.disk.release(name)

    def _execute(self, decision: Decision) -> None:
        task = decision.task
        step = _Step(task, self.workspace, self.observer, self.stopping)
        try:
            step.advance(0)
            inputs = {need: step.record(need).digest for need in task.needs}
            if decision.follows and (record := self._still_stands(decision, inputs)):
                self.observer.finished(task, record, reused=True)
                return
            self.observer.started(task)
            started = time.monotonic()
            for output in task.outputs:
                step.path(output).parent.mkdir(parents=True, exist_ok=True)
            values = dict(task.run(step))
            outputs = tuple(self._output(path, step) for path in task.outputs)
            record = Record(task.name, task.settings, inputs, outputs, values, round(time.monotonic() - started, 3))
            self.workspace.keep(record)
            self.observer.finished(task, record, reused=False)
        except OSError as error:
            self.observer.failed(task, error)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise WorkspaceError(
                    f"the disk is full: {task.name} could not be written to {self.workspace.root}",
                    hint="Free some space, or use another --workspace; what is finished is kept.",
                ) from error
            raise
        except BaseException as error:
            self.observer.failed(task, error)
            raise

    def _still_stands(self, decision: Decision, inputs: dict[str, str]) -> Record | None:
        record = decision.record
        if record is None or dict(record.inputs) != inputs:
            return None
        return record if all(found(output, self.workspace) for output in record.outputs) else None

    def _output(self, path: str, step: _Step) -> Output:
        file = self.workspace.path(path)
        status = file.stat()
        return Output(path, status.st_size, status.st_mtime_ns, step.digests.get(path) or sha256(file))


@dataclass
class _Step:
    """What a running task sees (`pipeline.engine.task.Step`)."""

    task: Task
    workspace: Workspace
    observer: Observer
    stopping: threading.Event
    digests: dict[str, str] = field(default_factory=dict)

    def path(self, output: str) -> Path:
        return self.workspace.path(output)

    def record(self, task: str) -> Record:
        record = self.workspace.record(task)
        if record is None or task not in self.task.needs:
            raise LookupError(f"{self.task.name} asks for {task}, which it does not need or which has no record")
        return record

    def advance(self, amount: int, /, *, resumed: bool = False) -> None:
        if self.stopping.is_set():
            raise Interrupted("stopped")
        if amount:
            self.observer.advanced(self.task, amount, resumed=resumed)

    def note(self, line: str) -> None:
        self.observer.noted(self.task, line)

    def digested(self, output: str, sha256: str) -> None:
        self.digests[output] = sha256


class _DiskWindow:
    """Counts the bytes of transient outputs on disk and deletes each when nothing needs it any more."""

    def __init__(self, plan: Plan, workspace: Workspace, size: int | None) -> None:
        self.size = size
        self.workspace = workspace
        self.transient = {d.task.name: d.task for d in plan if d.task.transient} if size is not None else {}
        self.needed_by = {name: {d.task.name for d in plan if name in d.task.needs} for name in self.transient}
        self.held = {
            name: task.work for name, task in self.transient.items() if not plan[name].reason and self._is_there(task)
        }

    def admits(self, task: Task) -> bool:
        return self.size is None or task.name not in self.transient or sum(self.held.values()) + task.work <= self.size

    def take(self, task: Task) -> None:
        if task.name in self.transient:
            self.held[task.name] = task.work

    def release(self, finished: str) -> None:
        for name, consumers in self.needed_by.items():
            if finished in consumers or finished == name:
                consumers.discard(finished)
                if not consumers and name in self.held:
                    del self.held[name]
                    for output in self.transient[name].outputs:
                        self.workspace.path(output).unlink(missing_ok=True)

    def _is_there(self, task: Task) -> bool:
        return any(self.workspace.path(output).exists() for output in task.outputs)


class _OneAtATime:
    """Lets lanes report from their own threads without the observer having to lock."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._lock = threading.Lock()

    def planned(self, plan: Plan) -> None:
        with self._lock:
            self._observer.planned(plan)

    def started(self, task: Task) -> None:
        with self._lock:
            self._observer.started(task)

    def advanced(self, task: Task, amount: int, *, resumed: bool = False) -> None:
        with self._lock:
            self._observer.advanced(task, amount, resumed=resumed)

    def noted(self, task: Task, line: str) -> None:
        with self._lock:
            self._observer.noted(task, line)

    def finished(self, task: Task, record: Record, *, reused: bool) -> None:
        with self._lock:
            self._observer.finished(task, record, reused=reused)

    def failed(self, task: Task, error: BaseException) -> None:
        with self._lock:
            self._observer.failed(task, error)
