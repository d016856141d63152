"""The folder of one release: files, one record a finished task, and a lock. Nothing else is state."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import WorkspaceError
from pipeline.manifest import check_relative, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.manifest import Json


@dataclass(frozen=True)
class Output:
    """A file that a task made; `mtime` in nanoseconds, so that an untouched file need not be read again."""

    path: str
    size: int
    mtime: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """What a finished task leaves: its settings, the digests of what went in, and what came out."""

    task: str
    settings: Mapping[str, Json]
    inputs: Mapping[str, str]
    outputs: tuple[Output, ...] = ()
    values: Mapping[str, Json] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def digest(self) -> str:
        """What the tasks that need this one depend on: content, never time."""
        content = [[o.path, o.size, o.sha256] for o in self.outputs], dict(self.values)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def sha256(self, output: str) -> str:
        return next(o.sha256 for o in self.outputs if o.path == output)


@dataclass(frozen=True)
class Workspace:
    root: Path

    def path(self, output: str) -> Path:
        return self.root / check_relative(output)

    def record(self, task: str) -> Record | None:
        """The record of a finished task; None when there is none that can be read."""
        try:
            content = json.loads(self._record_path(task).read_bytes())
            return Record(**{**content, "outputs": tuple(Output(**o) for o in content["outputs"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def recorded(self, group: str) -> list[str]:
        """The names of all tasks with a record whose name begins with `group` and a slash, planned or not."""
        folder = self.root / "records"
        return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in (folder / group).rglob("*.json"))

    def forget(self, task: str) -> None:
        self._record_path(task).unlink(missing_ok=True)

    def keep(self, record: Record) -> None:
        """Make `record` the task's record, by one rename."""
        write_atomically(self._record_path(record.task), json.dumps(asdict(record), indent=1) + "\n")

    def _record_path(self, task: str) -> Path:
        return self.root / "records" / f"{check_relative(task)}.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for this process; the kernel releases it however the process ends.

        Raises: WorkspaceError naming the process that holds it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WorkspaceError(
                f"the workspace {self.root} cannot be written: {error.strerror}",
                hint="Choose another folder with --workspace.",
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                raise WorkspaceError(
                    f"another process (pid {owner}) is working on this release in {self.root}",
                    hint="Wait for it to end or stop it; what it has finished is kept.",
                ) from error
            os.truncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)
