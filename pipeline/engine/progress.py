"""What a run tells whoever watches it; the library itself never prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.engine.plan import Plan
    from pipeline.engine.task import Task
    from pipeline.engine.workspace import Record


class Observer(Protocol):
    """Called from worker threads, one call at a time."""

    def planned(self, plan: Plan) -> None: ...

    def started(self, task: Task) -> None: ...

    def advanced(self, task: Task, amount: int, *, resumed: bool = False) -> None:
        """`resumed`: an earlier process did this much of it."""

    def noted(self, task: Task, line: str) -> None: ...

    def finished(self, task: Task, record: Record, *, reused: bool) -> None:
        """`reused`: what it needs came out as before, so the recorded result still stands."""

    def failed(self, task: Task, error: BaseException) -> None: ...


class Silent:
    """An observer for callers that only want the result."""

    def planned(self, plan: Plan) -> None: ...

    def started(self, task: Task) -> None: ...

    def advanced(self, task: Task, amount: int, *, resumed: bool = False) -> None: ...

    def noted(self, task: Task, line: str) -> None: ...

    def finished(self, task: Task, record: Record, *, reused: bool) -> None: ...

    def failed(self, task: Task, error: BaseException) -> None: ...
