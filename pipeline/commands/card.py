"""What the commands on cards do, free of arguments: find both sides, compare, print, write the page, open it."""

from __future__ import annotations

import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pipeline import console, repository
from pipeline.card import assets, pull_request
from pipeline.card.body import body
from pipeline.card.diff import diff
from pipeline.card.github_comment import comment
from pipeline.card.plots import draw, plots
from pipeline.card.pull_request import Touched
from pipeline.card.snapshot import Snapshot
from pipeline.errors import PipelineError, UsageError
from pipeline.manifest import write_atomically
from pipeline.release.find import RESERVED, release_names
from pipeline.release.load import load_release
from pipeline.stages import render, snapshots
from pipeline.stages.card_inputs import inputs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.card.changes import Diff
    from pipeline.card.inputs import Inputs
    from pipeline.evidence import Evidence
    from pipeline.lock import Lock
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders

Format = Literal["term", "github", "json"]
# Bytes: the summary of a workflow's step holds a mebibyte.
_SUMMARY = 1_000_000


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
    found, new = _compared(asked, folders, old, drawn=bool(page or browse))
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


def show_touched(folders: Folders, revision: str, check: Callable[[str], object], summary: Path | None) -> int:
    """One comment on all cards that differ from what a git revision holds, or from what their inputs render.

    check: raises for a card, by its name, that is not what its inputs render; after all are shown so does this, then.
    summary: where the same is written with more room.
    """
    held = repository.committed_files(folders.root, revision, "releases")
    if held is None:
        raise UsageError(f"there is no commit `{revision}` to compare with")
    looked = [_look(name, folders, revision, held, check) for name in release_names(folders.root)]
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


def show_digest(name: str, folders: Folders) -> int:
    """What `pipeline release --reviewed` takes, of the card that the inputs render."""
    console.show_text(render.digest(render.rendered(load_release(folders.root, name), folders)))
    return 0


def show_body(name: str, folders: Folders) -> int:
    """The card that the inputs render, as the summary of a workflow shows it."""
    console.show_text(body(render.rendered(load_release(folders.root, name), folders)))
    return 0


def _look(
    name: str, folders: Folders, revision: str, held: tuple[str, Mapping[str, bytes]], check: Callable[[str], object]
) -> tuple[Touched | None, PipelineError | None]:
    """What is to be told of a release, and why its card fails the check; held: the commit and its `releases/`."""
    commit, before = held
    folder = folders.release(name)
    failure: PipelineError | None = None
    try:
        if (folder / "README.md").exists() or f"{name}/README.md" in before:
            check(name)
        if not _differs(folder, snapshots.inside(name, before), before.get(f"{name}/release.yaml")):
            return None, None
    except PipelineError as error:
        failure = error
    try:
        asked = load_release(folders.root, name)
        found, _ = _compared(asked, folders, snapshots.held(asked, folders, revision, commit, before))
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


def _compared(asked: Asked, folders: Folders, old: Snapshot, *, drawn: bool = False) -> tuple[Diff, Snapshot]:
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
