"""What `pipeline cards` does: check every card, and make one comment of what changed since a commit on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import console, repository
from pipeline.card import pull_request
from pipeline.card.pull_request import Touched
from pipeline.commands.card import card, compared
from pipeline.commands.opening import folders_of
from pipeline.errors import PipelineError, UsageError
from pipeline.manifest import write_atomically
from pipeline.release.find import RESERVED, release_names
from pipeline.release.load import load_release
from pipeline.stages import snapshots

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.stages.job import Folders

# Bytes: the summary of a workflow's step holds a mebibyte.
_SUMMARY = 1_000_000


def show(revision: str, summary: Path | None) -> int:
    """One comment on all cards that differ from what a git revision holds, or from what their inputs render.

    summary: where the same is written with more room.
    Raises: after everything was shown, why the first card is none that its inputs render.
    """
    folders = folders_of()
    held = repository.committed_files(folders.root, revision, "releases")
    if held is None:
        raise UsageError(f"there is no commit `{revision}` to compare with")
    looked = [_look(name, folders, revision, held) for name in release_names(folders.root)]
    found = [*(one for one, _ in looked if one), *_removed(folders.root, held[1])]
    touched = sorted(found, key=lambda one: one.name)
    if touched:
        console.show_text(pull_request.page(touched))
        if summary:
            write_atomically(summary, pull_request.page(touched, _SUMMARY))
    for _, failure in looked:
        if failure:
            raise failure
    return 0


def _look(
    name: str, folders: Folders, revision: str, held: tuple[str, Mapping[str, bytes]]
) -> tuple[Touched | None, PipelineError | None]:
    """What is to be told of a release, and why its card fails the check; held: the commit and its `releases/`."""
    commit, before = held
    folder = folders.release(name)
    failure: PipelineError | None = None
    try:
        if (folder / "README.md").exists() or f"{name}/README.md" in before:
            card(name, check=True)
        if not _differs(folder, snapshots.inside(name, before), before.get(f"{name}/release.yaml")):
            return None, None
    except PipelineError as error:
        failure = error
    try:
        asked = load_release(folders.root, name)
        found, _ = compared(asked, folders, snapshots.held(asked, folders, revision, commit, before))
    except PipelineError as error:
        return Touched(name, _told(failure or error), None), failure
    return Touched(name, _told(failure) if failure else "", found), failure


def _removed(root: Path, before: Mapping[str, bytes]) -> list[Touched]:
    """Releases and cards that were there and are not any more, by the files in `releases/` before."""
    paths = [path for path in before if path.count("/") == 1 and path.endswith(("/release.yaml", "/README.md"))]
    gone = {path.partition("/")[0] for path in paths if not (root / "releases" / path).exists()}
    names = gone - {RESERVED, *release_names(root)}
    return [Touched(name, f"releases/{name} is removed by this", None) for name in names]


def _differs(folder: Path, before: Mapping[str, bytes], asked: bytes | None) -> bool:
    """Whether a card, its figures, its lock or its plots are not what they were.

    asked: release.yaml as it was. One whose card was never written is shown as it is planned by that.
    """
    if snapshots.card_files(folder) != before:
        return True
    return not (folder / "README.md").exists() and (folder / "release.yaml").read_bytes() != asked


def _told(error: PipelineError) -> str:
    return f"{error}\n{error.hint}".strip()
