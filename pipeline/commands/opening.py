"""What a command begins with: the folders that it works in, and the release that it is about, with its Hub."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import console
from pipeline.hub.connect import connect
from pipeline.release.find import find_root
from pipeline.release.load import load_release
from pipeline.stages.job import Folders, open_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.hub.protocol import Hub
    from pipeline.release.load import Asked
    from pipeline.stages.job import Job

_WORKSPACE = ".pipeline"


def folders_of(workspace: Path | None = None, root: Path | None = None) -> Folders:
    """root: of the release repository; otherwise it is found from where the command was given."""
    root = root or find_root(Path.cwd())
    return Folders(root, workspace.resolve() if workspace else root / _WORKSPACE)


def hub_of(
    asked: Asked, folders: Folders, *, writable: bool, told: Callable[[str], None] = console.show_note
) -> contextlib.AbstractContextManager[Hub]:
    """The Hub that the release names."""
    return connect(asked.release.hub, folders.hub, writable=writable, told=told)


@contextlib.contextmanager
def job_of(
    name: str, workspace: Path | None, *, writable: bool, told: Callable[[str], None] = console.show_note
) -> Iterator[Job]:
    """A release as its stages work on it."""
    folders = folders_of(workspace)
    asked = load_release(folders.root, name)
    with hub_of(asked, folders, writable=writable, told=told) as hub:
        yield open_job(asked, folders, hub, keep=writable)
