"""Where the other side of a card's diff is from: git, the Hub, the disk, or another release."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import repository
from pipeline.card import snapshot
from pipeline.card.snapshot import CARD, EVIDENCE, IMPORTED, LOCK, Snapshot
from pipeline.errors import PipelineError, UsageError
from pipeline.hub.connect import connect
from pipeline.hub.protocol import Repository
from pipeline.manifest import check_relative, write_atomically
from pipeline.release.find import elsewhere_names, release_names
from pipeline.release.load import load_release
from pipeline.release.places import did_you_mean
from pipeline.stages.card_inputs import planned_lock
from pipeline.stages.job import Folders, open_planned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.lock import Lock
    from pipeline.release.load import Asked

PUBLISHED = "published"
_FILES = (CARD, EVIDENCE, IMPORTED, LOCK)
_ASSETS = "assets/"
_LARGEST = 32_000_000
_POSSIBLE = (
    "AGAINST can be left out (what git's HEAD holds), `published` (what the Hub holds), a git revision such as HEAD~1 "
    "or main, a README.md or evidence.json or a folder that holds them, or another release or a model from elsewhere: "
    "{names}."
)


def before(asked: Asked, folders: Folders, against: str) -> Snapshot:
    """The state that the card is compared with: `against` as the command line says it, "" for git's HEAD.

    Raises: UsageError that lists what is possible where `against` is nothing of that, or more than one thing.
    """
    if not against:
        return committed(asked, folders, "HEAD") or _of_release(asked.name, folders)
    if against == PUBLISHED:
        return published(asked, folders)
    meant: dict[str, Snapshot] = {}
    path = Path(against)
    names = (*release_names(folders.root), *elsewhere_names(folders.root))
    folder = None
    if _is_there(path):
        folder = next((name for name in names if path.samefile(folders.release(name))), None)
        meant["a path"] = _beside(folder, asked, folders) if folder else _of_path(path, against)
    if against in names and against not in {asked.name, folder}:
        meant["a release"] = _beside(against, asked, folders)
    if found := committed(asked, folders, against):
        meant["a git revision"] = found
    if len(meant) == 1:
        return next(iter(meant.values()))
    possible = _POSSIBLE.format(names=", ".join(names))
    if meant:
        raise UsageError(
            f"`{against}` is {' and '.join(meant)}",
            hint=f"Write ./{against} for the path, releases/{against} for the release, or refs/heads/{against} or "
            f"refs/tags/{against} for the revision.",
        )
    also = did_you_mean(against, (PUBLISHED, *names))
    raise UsageError(f"there is nothing called `{against}` to compare with{also}", hint=possible)


def on_disk(folder: Path, label: str) -> Snapshot:
    """What a folder of a release holds, whether or not it is committed."""
    return snapshot.read(label, card_files(folder), whole=(folder / "release.yaml").exists())


def card_files(folder: Path) -> dict[str, bytes]:
    """The card, what it is made from and what it shows, by their paths in a release's folder."""
    paths = [folder / name for name in _FILES] + sorted((folder / "assets").glob("*.png"))
    return _read({path.relative_to(folder).as_posix(): path for path in paths})


def committed(asked: Asked, folders: Folders, revision: str) -> Snapshot | None:
    """What a git revision of the release repository holds; None where there is no such revision or no git."""
    found = repository.committed_files(folders.root, revision, "releases")
    return held(asked, folders, revision, *found) if found else None


def held(asked: Asked, folders: Folders, revision: str, commit: str, files: Mapping[str, bytes]) -> Snapshot:
    """What the commit that a revision names holds, of whose `releases/` these are the files.

    A release that had not run yet is planned as it was asked for then.
    """
    label = f"{revision} ({commit[:7]})" if revision not in commit else commit[:12]
    made = snapshot.read(label, inside(asked.name, files), whole=True)
    siblings = {name: inside(name, files) for name in asked.release.siblings}
    known = {name: snapshot.read(label, inside, whole=True).evidence for name, inside in siblings.items() if inside}
    made = replace(made, siblings={name: evidence for name, evidence in known.items() if evidence})
    if f"{asked.name}/{LOCK}" in files:
        return made
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, raw in files.items():
            if path.endswith((".yaml", ".json")):
                write_atomically(root / "releases" / check_relative(path), raw)
        return replace(made, lock=_planned(asked.name, Folders(root, folders.workspace)))


def published(asked: Asked, folders: Folders) -> Snapshot:
    """What the Hub holds at the release's tag, or at its head as long as it is not tagged."""
    target = Repository(asked.release.target.repo)
    with connect(asked.release.hub, folders.hub, writable=False) as hub:
        head = hub.head(target)
        if head is None:
            raise UsageError(
                f"{hub.endpoint} holds no {target}: {asked.name} is not published",
                hint="Leave out `published` to compare with what git's HEAD holds.",
            )
        tag = asked.release.target.tag
        tagged = hub.tags(target).get(tag)
        commit = tagged or head
        manifest = hub.manifest(target, commit)
        wanted = [file for file in manifest if _is_wanted(file.path) and file.size <= _LARGEST]
        files = {file.path: hub.read(target, commit, file.path, 0, file.size) for file in wanted if file.size}
    place = f"{target} at {tag if tagged else 'its head'} ({commit[:7]})"
    return snapshot.read(place, files, whole=False)


def inside(name: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What a diff wants of the files in a release's folder, by their paths in it."""
    own = {path.removeprefix(f"{name}/"): raw for path, raw in files.items() if path.startswith(f"{name}/")}
    return {path: raw for path, raw in own.items() if _is_wanted(path)}


def _of_release(name: str, folders: Folders) -> Snapshot:
    found = on_disk(folders.release(name), f"releases/{name}")
    return found if found.lock or found.remarks else replace(found, lock=_planned(name, folders))


def _beside(name: str, asked: Asked, folders: Folders) -> Snapshot:
    """What there is of a release, or of a model from elsewhere, of which only figures are known."""
    if name in elsewhere_names(folders.root):
        return replace(on_disk(folders.release(name), f"releases/{name}, made elsewhere"), another=True)
    return replace(_of_release(name, folders), another=name != asked.name)


def _planned(name: str, folders: Folders) -> Lock | None:
    """What a release that has not run is planned to be; None where it cannot be planned."""
    try:
        planned = open_planned(load_release(folders.root, name), folders)
    except PipelineError:
        return None
    return planned_lock(planned) if planned else None


def _of_path(path: Path, shown: str) -> Snapshot:
    if path.is_dir():
        if not any((path / name).exists() for name in _FILES):
            raise UsageError(
                f"the folder {shown} holds none of {', '.join(_FILES)}",
                hint="Name a folder that holds a card, its evidence or both.",
            )
        return on_disk(path, shown)
    if not path.is_file():
        raise UsageError(
            f"{shown} is neither a file nor a folder", hint="Name a card, its evidence, or a folder that holds them."
        )
    name = CARD if path.suffix.lower() in {".md", ".markdown"} else _json_kind(path)
    return snapshot.read(shown, _read({name: path}), whole=False)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _json_kind(path: Path) -> str:
    """A lock has a schema and a recipe; whatever else it is, evidence is what it would have to be."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.suffix == ".json" and '"recipe"' in path.read_text() and '"measurements"' not in path.read_text():
            return LOCK
    return EVIDENCE


def _read(paths: Mapping[str, Path]) -> dict[str, bytes]:
    try:
        return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None


def _is_wanted(path: str) -> bool:
    return path in _FILES or (path.startswith(_ASSETS) and path.endswith(".png") and path.count("/") == 1)
