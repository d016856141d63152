"""What would run and why: pure, it looks and touches nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from pipeline.manifest import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.engine.task import Task
    from pipeline.engine.workspace import Output, Record, Workspace

_CHANGES_SHOWN = 2


@dataclass(frozen=True)
class Decision:
    """Whether a task runs, and why.

    reason: empty when the recorded result is used again.
    follows: it runs only because something it needs does; if that comes out as before, so does this.
    record: the recorded result, with the modification times that were found.
    """

    task: Task
    reason: str = ""
    follows: bool = False
    record: Record | None = None


@dataclass(frozen=True)
class Plan:
    """One decision a task, every task after the ones it needs."""

    decisions: tuple[Decision, ...]

    def __iter__(self) -> Iterator[Decision]:
        return iter(self.decisions)

    def __len__(self) -> int:
        return len(self.decisions)

    def __getitem__(self, task: str) -> Decision:
        for decision in self.decisions:
            if decision.task.name == task:
                return decision
        raise KeyError(task)

    @property
    def to_run(self) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if d.reason)


def plan(tasks: Sequence[Task], workspace: Workspace) -> Plan:
    """Decide for every task whether its recorded result still stands.

    Raises: graphlib.CycleError, KeyError when a task needs one that is not there.
    """
    decisions: dict[str, Decision] = {}
    absent: set[str] = set()
    for task in in_order(tasks):
        decision, is_absent = _decide(task, workspace, decisions)
        decisions[task.name] = decision
        if is_absent:
            absent.add(task.name)
    # A deleted base file is fetched again only for a task that runs; asked from the end, since one absent result may
    # need another.
    for name in reversed(decisions):
        runs = next((d.task.name for d in decisions.values() if d.reason and name in d.task.needs), None)
        if name in absent and runs:
            decisions[name] = replace(decisions[name], reason=f"needed again by {runs}")
    return Plan(tuple(decisions.values()))


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """Every task after the ones it needs, and those that it has to wait for."""
    by_name = {task.name: task for task in tasks}
    if len(by_name) != len(tasks):
        raise ValueError("two tasks have the same name")
    sorter = TopologicalSorter({task.name: (*task.needs, *task.after) for task in tasks})
    return [by_name[name] for name in sorter.static_order()]


def _decide(task: Task, workspace: Workspace, earlier: Mapping[str, Decision]) -> tuple[Decision, bool]:
    """The decision, and whether the task's result was deleted on purpose."""
    record = workspace.record(task.name)
    if record is None:
        return Decision(task, "has not run"), False
    is_absent = task.transient and not any(workspace.path(o.path).exists() for o in record.outputs)
    lying_there = record.outputs if is_absent else tuple(found(output, workspace) for output in record.outputs)
    gone = next((o.path for o, there in zip(record.outputs, lying_there, strict=True) if there is None), None)
    reason = (
        _settings_reason(task, record)
        or (f"{gone} is missing or altered" if gone else "")
        or _input_reason(task, record, earlier)
        or (task.check(record) if task.check else None)
    )
    record = replace(record, outputs=tuple(o for o in lying_there if o is not None) if not gone else record.outputs)
    if reason:
        return Decision(task, reason, record=record), is_absent
    if need := next((n for n in task.needs if earlier[n].reason), None):
        return Decision(task, f"follows {need}", follows=True, record=record), is_absent
    return Decision(task, record=record), is_absent


def _settings_reason(task: Task, record: Record) -> str:
    if changed := changes(record.settings, task.settings):
        return f"changed: {changed}"
    return "" if tuple(o.path for o in record.outputs) == task.outputs else "makes other files than before"


def _input_reason(task: Task, record: Record, earlier: Mapping[str, Decision]) -> str:
    if set(record.inputs) != set(task.needs):
        return "needs other things than before"
    for need in task.needs:
        before = earlier[need].record
        if not earlier[need].reason and before is not None and before.digest != record.inputs[need]:
            return f"{need} came out differently"
    return ""


def found(output: Output, workspace: Workspace) -> Output | None:
    """The output as it lies there, or None when it is not the file that was recorded.

    A file whose time moved but whose size did not (a copied workspace) is read: its digest decides.
    """
    path = workspace.path(output.path)
    try:
        status = path.stat()
    except OSError:
        return None
    if status.st_size != output.size:
        return None
    if status.st_mtime_ns == output.mtime:
        return output
    return replace(output, mtime=status.st_mtime_ns) if sha256(path) == output.sha256 else None


def changes(before: object, after: object) -> str:
    """In words, what differs between two JSON values: "windows 16 -> 8, seed 1 -> 2 and 3 more"."""
    rows = list(_differences(before, after, ""))
    more = len(rows) - _CHANGES_SHOWN
    return ", ".join(rows[:_CHANGES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _differences(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            inner = f"{path}.{key}" if path else str(key)
            if key not in before:
                yield f"{inner} added"
            elif key not in after:
                yield f"{inner} removed"
            else:
                yield from _differences(before[key], after[key], inner)
    elif isinstance(before, list) and isinstance(after, list | tuple) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, f"{path}[{index}]")
    elif before != after:
        yield f"{path} {_short(before)} -> {_short(after)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:11]}…{text[-11:]}"
