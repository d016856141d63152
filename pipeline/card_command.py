"""What `pipeline card --diff` does, free of arguments: find both sides, compare, print, write the page, open it."""

from __future__ import annotations

import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pipeline import console
from pipeline.card.diff import diff
from pipeline.card.github_comment import comment
from pipeline.card.snapshot import Snapshot
from pipeline.errors import UsageError
from pipeline.manifest import write_atomically
from pipeline.release.load import load_release
from pipeline.stages import render, snapshots
from pipeline.stages.card_inputs import inputs_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.card.changes import Diff
    from pipeline.card.inputs import Inputs
    from pipeline.evidence import Evidence
    from pipeline.lock import Lock
    from pipeline.stages.job import Folders

Format = Literal["term", "github", "json"]


def show_diff(
    name: str,
    folders: Folders,
    against: str | None,
    *,
    form: Format = "term",
    page: Path | None = None,
    browse: bool = False,
) -> int:
    """against: None prints nothing, "" stands for git's HEAD; page: where the page is written to.

    browse: write the page, into the workspace unless `page` says where, and open it.
    """
    asked = load_release(folders.root, name)
    old = snapshots.before(asked, folders, against or "")
    inputs = inputs_of(asked, folders)
    new = _rendered(inputs, folders)
    found = diff(name, old, new, lambda evidence, lock: _card(inputs, folders, evidence, lock))
    if against is not None:
        _print(found, form)
    if page or browse:
        path = page or folders.workspace / "pages" / f"{name}.html"
        _write_page(path, found, old, new)
        console.show_note(f"{path} is written")
        if browse and not webbrowser.open(path.resolve().as_uri()):
            console.show_note("no browser could be opened: open that file in one")
    return 0


def show_digest(name: str, folders: Folders) -> int:
    """What `pipeline release --reviewed` takes, of the card that the inputs render."""
    console.show_text(render.digest(render.rendered(load_release(folders.root, name), folders)))
    return 0


def _rendered(inputs: Inputs, folders: Folders) -> Snapshot:
    """What the release is now: the files in its folder, and the card that they render, whether or not it is written."""
    there = snapshots.on_disk(folders.release(inputs.name), "")
    return Snapshot(
        label=f"what releases/{inputs.name} renders now",
        card=_card(inputs, folders, inputs.evidence, inputs.lock),
        evidence=inputs.evidence,
        lock=inputs.lock,
        assets=there.assets,
    )


def _card(inputs: Inputs, folders: Folders, evidence: Evidence, lock: Lock) -> str:
    from pipeline.card.render import render, template_folder

    return render(replace(inputs, evidence=evidence, lock=lock), template_folder(folders.root))


def _print(found: Diff, form: Format) -> None:
    if form == "json":
        console.show_json(found.to_json())
    elif form == "github":
        console.show_text(comment(found))
    else:
        console.show_card_diff(found)


def _write_page(path: Path, found: Diff, old: Snapshot, new: Snapshot) -> None:
    from pipeline.card.page import page

    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="Name the file that the page is written to.")
    try:
        write_atomically(path, page(found, old, new))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
