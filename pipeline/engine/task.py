"""The unit of work: one task makes one thing and says what would change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.engine.workspace import Record
    from pipeline.manifest import Json


@dataclass(frozen=True)
class Lane:
    """Where the tasks of one stage run: at most `width` at a time, their work counted in `unit`."""

    name: str
    reason: str
    width: int = 1
    unit: str = "B"


class Step(Protocol):
    """What a running task may ask for."""

    def path(self, output: str) -> Path:
        """The file of an output, of this task or of one it needs; its folder exists."""

    def record(self, task: str) -> Record:
        """The record of a needed task: the digests and values it left."""

    def advance(self, amount: int, /, *, resumed: bool = False) -> None:
        """Count work done, in the lane's unit; raises `Interrupted` when the run is stopping.

        resumed: an earlier process did it, so that it says nothing about how fast the lane is.
        """

    def note(self, line: str) -> None:
        """One line worth a person's reading while the task runs."""

    def digested(self, output: str, sha256: str) -> None:
        """Tell the digest of an output that was computed while writing it, to save reading it again."""


@dataclass(frozen=True)
class Task:
    """One thing to make.

    name: unique, "stage/what"; also the name of its record.
    needs: names of the tasks whose results it uses.
    settings: the values that would change its result, stored in the record.
    outputs: files it makes, relative to the workspace.
    work: its size in the lane's unit, for rates and time left.
    run: does it and returns values to keep in the record.
    check: says why a recorded result no longer stands, by looking only (a remote head that moved).
    transient: its outputs may be deleted once every task that needs them is done.
    after: names of tasks that are done first, although it uses nothing of them.
    """

    name: str
    lane: Lane
    run: Callable[[Step], Mapping[str, Json]]
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Json] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    work: int = 0
    check: Callable[[Record], str | None] | None = None
    transient: bool = False
    after: tuple[str, ...] = ()
