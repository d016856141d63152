"""What `pipeline card` does: write the card, check it, or show what changed of it, also as a page in a browser."""

from __future__ import annotations

import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pipeline import console
from pipeline.card import assets
from pipeline.card.body import body
from pipeline.card.diff import diff
from pipeline.card.github_comment import comment
from pipeline.card.plots import draw, plots
from pipeline.card.snapshot import Snapshot
from pipeline.commands.opening import folders_of
from pipeline.errors import CardDiffers, UsageError
from pipeline.manifest import write_atomically
from pipeline.release.load import load_release
from pipeline.stages import render, snapshots
from pipeline.stages.card_inputs import inputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.card.changes import Diff
    from pipeline.card.inputs import Inputs
    from pipeline.evidence import Evidence
    from pipeline.lock import Lock
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders

Format = Literal["term", "github", "json"]


def card(name: str, *, check: bool) -> int:
    folders = folders_of()
    path = folders.release(name) / "README.md"
    rendered, drawn = render.card_and_plots(load_release(folders.root, name), folders)
    difference = rendered.encode() != (path.read_bytes() if path.exists() else b"")
    shown = path.relative_to(folders.root)
    if check and not path.exists():
        raise CardDiffers(f"there is no {shown} yet", hint=f"Write it with `pipeline card {name}`, and commit it.")
    if check and difference:
        raise CardDiffers(
            f"{shown} is not what its inputs render",
            hint=f"See `pipeline card {name} --diff`; write it by leaving out --check.",
        )
    if check:
        for plot, why in assets.wrong(path.parent, drawn).items():
            raise CardDiffers(f"{shown.parent}/{plot} {why}", hint=f"`pipeline card {name}` puts it right.")
    else:
        write_atomically(path, rendered)
        console.show_note(f"{shown} is {'written' if difference else 'unchanged'}")
        for plot in assets.write(path.parent, drawn):
            console.show_note(f"{shown.parent / plot} is {'written' if (path.parent / plot).exists() else 'removed'}")
    return 0


def show_diff(
    name: str,
    workspace: Path | None,
    against: str | None,
    *,
    form: Format,
    page: Path | None,
    browse: bool,
) -> int:
    """against: None prints nothing, "" stands for git's HEAD; page: where the page is written to.

    browse: write the page, into the workspace unless `page` says where, and open it.
    """
    folders = folders_of(workspace)
    asked = load_release(folders.root, name)
    old = snapshots.before(asked, folders, against or "")
    found, new = compared(asked, folders, old, drawn=bool(page or browse))
    # The page first: whoever reads what is printed may stop in the middle.
    if page or browse:
        path = page or folders.workspace / "pages" / f"{name}.html"
        _write_page(path, found, old, new)
        console.show_note(f"{path} is written")
        if browse and not webbrowser.open(path.resolve().as_uri()):
            console.show_note("no browser could be opened: open that file in one")
    if against is not None:
        _print(found, form)
    return 0


def show_digest(name: str) -> int:
    """What `pipeline release --reviewed` takes, of the card that the inputs render."""
    folders = folders_of()
    console.show_text(render.digest(render.rendered(load_release(folders.root, name), folders)))
    return 0


def show_body(name: str) -> int:
    """The card that the inputs render, as the summary of a workflow shows it."""
    folders = folders_of()
    console.show_text(body(render.rendered(load_release(folders.root, name), folders)))
    return 0


def compared(asked: Asked, folders: Folders, old: Snapshot, *, drawn: bool = False) -> tuple[Diff, Snapshot]:
    """What changed since `old`, and the state now; drawn: with its plots, even if not written."""
    inputs = inputs_of(asked, folders)
    new = _rendered(inputs, folders)
    if drawn:
        new = replace(new, assets=_plots(inputs, folders.release(asked.name)))

    def card_of(evidence: Evidence, lock: Lock, siblings: Mapping[str, Evidence]) -> str:
        beside = (replace(one, evidence=siblings.get(one.name, one.evidence)) for one in inputs.siblings)
        return _card(replace(inputs, evidence=evidence, lock=lock, siblings=tuple(beside)), folders)

    return diff(asked.name, old, new, card_of), new


def _rendered(inputs: Inputs, folders: Folders) -> Snapshot:
    """What the release is now: the card that the files in its folder render, whether or not it is written."""
    return Snapshot(
        label=f"what releases/{inputs.name} renders now",
        card=_card(inputs, folders),
        evidence=inputs.evidence,
        lock=inputs.lock,
        siblings={one.name: one.evidence for one in inputs.siblings},
    )


def _card(inputs: Inputs, folders: Folders) -> str:
    from pipeline.card.render import render, template_folder

    return render(inputs, template_folder(folders.root))


def _plots(inputs: Inputs, folder: Path) -> dict[str, bytes]:
    """The images of the card as they would be written; those that lie there are not drawn again."""
    wanted = plots(inputs)
    wrong = assets.wrong(folder, wanted)
    return {one.path: draw(one) if one.path in wrong else (folder / one.path).read_bytes() for one in wanted}


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
