"""What `pipeline compare` does: hold two releases against each other, by what happened in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import console
from pipeline.commands.opening import folders_of
from pipeline.release.compare import compare
from pipeline.release.find import check_release
from pipeline.stages.happened import side

if TYPE_CHECKING:
    from pathlib import Path


def show(first: str, second: str, workspace: Path | None, *, as_json: bool) -> int:
    folders = folders_of(workspace)
    one, other = (check_release(folders.root, name) for name in (first, second))
    compared = compare(side(folders, one), side(folders, other))
    if as_json:
        console.show_json(compared.to_json())
    else:
        console.show_comparison(compared)
    return 0
