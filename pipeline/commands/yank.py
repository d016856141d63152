"""What `verify`, `rollback` and `yank` do, free of arguments: look at what is published, say it, change it or not."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import console
from pipeline.card.lint import check_card
from pipeline.errors import CardInvalid, PublishedDiffers, UsageError
from pipeline.hub.connect import connect
from pipeline.hub.protocol import Repository
from pipeline.hub.rollback import plan_rollback, roll_back
from pipeline.lock import Lock
from pipeline.release.find import lock_file
from pipeline.release.load import load_release
from pipeline.release.written import check_tag
from pipeline.stages.verify import verify
from pipeline.stages.withdraw import plan_withdrawal, withdraw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.hub.protocol import Hub
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders


def show_verified(name: str, folders: Folders, *, as_json: bool = False) -> int:
    """Raises: PublishedDiffers after everything was shown, when anything is not what the lock says."""
    with _opened(name, folders, writable=False) as (asked, hub):
        verified = verify(asked, folders, hub, console.show_note)
    if as_json:
        console.show_json(verified.to_json())
    else:
        console.show_verified(verified)
    if not verified.agrees:
        raise PublishedDiffers(
            f"what is published of {name} is not what {lock_file(name)} says",
            hint=f"`pipeline release {name}` makes local files anew. What a tag names cannot be changed: release again "
            "under another one.",
        )
    return 0


def rollback(name: str, folders: Folders, tag: str, *, dry_run: bool) -> int:
    try:
        check_tag(tag)
    except ValueError as error:
        raise UsageError(f"--to {error}") from None
    with _opened(name, folders, writable=not dry_run) as (asked, hub), _temporary() as small:
        target = Repository(asked.release.target.repo)
        planned = plan_rollback(hub, target, tag)
        console.show_rollback(planned, str(target))
        if dry_run or planned.nothing_to_do:
            return 0
        commit = roll_back(hub, target, planned, small, note=console.show_note)
        console.show_note(f"main is now commit {commit[:12]}, whose files were compared: {hub.address(target, commit)}")
    return 0


def yank(name: str, folders: Folders, reason: str, *, dry_run: bool) -> int:
    if not reason.strip():
        raise UsageError("--reason needs words: they are what people will read at the top of the card")
    with _opened(name, folders, writable=not dry_run) as (asked, hub), _temporary() as small:
        target, tag = Repository(asked.release.target.repo), asked.release.target.tag
        planned = plan_withdrawal(hub, target, tag, reason, published=_published(asked, folders), folder=small)
        console.show_withdrawal(planned, str(target))
        if dry_run or planned.nothing_to_do:
            return 0
        _lint(name, planned.after)
        commit = withdraw(hub, target, planned, small)
        console.show_note(f"{tag} is withdrawn; main is commit {commit[:12]}: {hub.address(target)}")
    return 0


def _lint(name: str, card: str) -> None:
    """Say what else is wrong with the card, which is no reason to leave people without the warning."""
    try:
        check_card(name, card, {"README.md"})
    except CardInvalid as invalid:
        for problem in invalid.problems:
            console.show_note(problem)


def _published(asked: Asked, folders: Folders) -> str | None:
    file = lock_file(asked.name)
    path = folders.root / file
    return Lock.from_json(path.read_bytes(), file).target.commit if path.exists() else None


@contextlib.contextmanager
def _opened(name: str, folders: Folders, *, writable: bool) -> Iterator[tuple[Asked, Hub]]:
    asked = load_release(folders.root, name)
    with connect(asked.release.hub, folders.hub, writable=writable, told=console.show_note) as hub:
        yield asked, hub


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
