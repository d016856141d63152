"""What `pipeline yank` does: warn on the card of a release that is withdrawn, and remove its tag."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import console
from pipeline.card.lint import check_card
from pipeline.commands.opening import folders_of, hub_of
from pipeline.errors import CardInvalid, UsageError
from pipeline.hub.protocol import Repository
from pipeline.lock import Lock
from pipeline.release.find import lock_file
from pipeline.release.load import load_release
from pipeline.stages.withdraw import plan_withdrawal, withdraw

if TYPE_CHECKING:
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders


def yank(name: str, workspace: Path | None, reason: str, *, dry_run: bool) -> int:
    if not reason.strip():
        raise UsageError("--reason needs words: they are what people will read at the top of the card")
    folders = folders_of(workspace)
    asked = load_release(folders.root, name)
    with hub_of(asked, folders, writable=not dry_run) as hub, tempfile.TemporaryDirectory() as folder:
        small = Path(folder)
        target, tag = Repository(asked.release.target.repo), asked.release.target.tag
        planned = plan_withdrawal(hub, target, tag, reason, published=_published(asked, folders), folder=small)
        console.show_withdrawal(planned, str(target), dry_run=dry_run)
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
