"""What `pipeline verify` does: compare what is published with its lock, and say every difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import console
from pipeline.commands.opening import folders_of, hub_of
from pipeline.errors import PublishedDiffers
from pipeline.release.find import lock_file
from pipeline.release.load import load_release
from pipeline.stages.verify import verify

if TYPE_CHECKING:
    from pathlib import Path


def show(name: str, workspace: Path | None, *, as_json: bool) -> int:
    """Raises: PublishedDiffers after everything was shown, when anything is not what the lock says."""
    folders = folders_of(workspace)
    asked = load_release(folders.root, name)
    with hub_of(asked, folders, writable=False) as hub:
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
