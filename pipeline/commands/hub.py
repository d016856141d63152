"""What `pipeline hub` does: serve the embedded Hub until Ctrl-C, on a good day or a bad one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import console
from pipeline.commands.opening import folders_of
from pipeline.hub.local.bad_day import load_faults
from pipeline.hub.local.server import serve

if TYPE_CHECKING:
    from pathlib import Path


def run(workspace: Path | None, port: int, faults: str | None) -> int:
    """faults: a YAML file of what is to go wrong."""
    folder = folders_of(workspace).hub
    bad_day = load_faults(faults, lambda fired: console.show_note(str(fired))) if faults else None

    def ready(endpoint: str) -> None:
        console.show_note(
            f"the embedded Hub serves {folder}\n\n    export HF_ENDPOINT={endpoint}\n\n"
            "points any Hub client at it. Ctrl-C ends it."
        )

    serve(folder, ready, port=port, faults=bad_day)
    if bad_day:
        counts = ", ".join(f"{count} {kind}" for kind, count in bad_day.by_kind().items())
        console.show_note(f"faults that fired: {counts or 'none'}")
    return 0
