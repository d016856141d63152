"""What `pipeline rollback` does: say which commit makes an older tag the present revision, and make it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline import console
from pipeline.commands.opening import folders_of, hub_of
from pipeline.errors import UsageError
from pipeline.hub.protocol import Repository
from pipeline.hub.rollback import plan_rollback, roll_back
from pipeline.release.load import load_release
from pipeline.release.written import check_tag


def rollback(name: str, workspace: Path | None, tag: str, *, dry_run: bool) -> int:
    try:
        check_tag(tag)
    except ValueError as error:
        raise UsageError(f"--to {error}") from None
    folders = folders_of(workspace)
    asked = load_release(folders.root, name)
    with hub_of(asked, folders, writable=not dry_run) as hub, tempfile.TemporaryDirectory() as small:
        target = Repository(asked.release.target.repo)
        planned = plan_rollback(hub, target, tag)
        console.show_rollback(planned, str(target), dry_run=dry_run)
        if dry_run or planned.nothing_to_do:
            return 0
        commit = roll_back(hub, target, planned, Path(small), note=console.show_note)
        console.show_note(f"main is now commit {commit[:12]}, whose files were compared: {hub.address(target, commit)}")
    return 0
