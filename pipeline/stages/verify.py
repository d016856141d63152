"""A published release held against its lock: every file here and on the Hub, by size and digest; nothing is changed."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipeline.errors import PipelineError
from pipeline.hub.doubt import THE_HUBS_OWN
from pipeline.hub.protocol import Repository, untold
from pipeline.lock import Lock
from pipeline.manifest import SUMS, File, Manifest, describe, sha256
from pipeline.release.find import lock_file
from pipeline.stages import quantize, render, signature
from pipeline.stages.signature import Signer
from pipeline.stages.withdraw import is_withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.hub.protocol import Hub
    from pipeline.manifest import Json
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders

State: TypeAlias = Literal["same", "missing", "other size", "other content", "not of the release", "not looked at"]

_CARD, _LOCK = "README.md", "release.lock.json"


@dataclass(frozen=True)
class Row:
    """One file as the lock, or the release's folder, has it; `here` and `there` say what workspace and Hub hold."""

    file: File
    here: State
    there: State

    @property
    def agrees(self) -> bool:
        return self.there == "same" and self.here in {"same", "not looked at"}


@dataclass(frozen=True)
class Verified:
    """commit: the one that was looked at; model: the folder of local files, None where there is none."""

    name: str
    repository: str
    tag: str
    commit: str
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    rows: tuple[Row, ...]
    model: Path | None

    @property
    def agrees(self) -> bool:
        return not self.problems and all(row.agrees for row in self.rows)

    def to_json(self) -> dict[str, Json]:
        return {
            "release": self.name,
            "repository": self.repository,
            "tag": self.tag,
            "commit": self.commit,
            "agrees": self.agrees,
            "problems": list(self.problems),
            "remarks": list(self.remarks),
            "local_files": str(self.model) if self.model else None,
            "files": [
                {"path": r.file.path, "size": r.file.size, "sha256": r.file.sha256, "local": r.here, "hub": r.there}
                for r in self.rows
            ],
        }


def read_lock(asked: Asked, folders: Folders) -> Lock:
    """The lock of a release that was published; `PipelineError` where nothing says that it was."""
    file = lock_file(asked.name)
    path = folders.root / file
    if not path.exists() or not (lock := Lock.from_json(path.read_bytes(), file)).target.commit:
        raise PipelineError(
            f"{file} names no published commit",
            hint=f"Publish with `pipeline release {asked.name}`, or check out the commit of {file} after it was.",
        )
    return lock


def verify(asked: Asked, folders: Folders, hub: Hub, told: Callable[[str], None] = lambda _: None) -> Verified:
    """Compare lock, workspace and Hub. `told` hears of what takes long.

    Raises: PipelineError when there is nothing to compare; HubError when the Hub does not answer.
    """
    lock = read_lock(asked, folders)
    repository = Repository(lock.target.repo)
    commit, problems, remarks = _published(hub, repository, lock)
    there = Manifest(tuple(file for file in hub.manifest(repository, commit) if file.path not in THE_HUBS_OWN))
    model = folders.work(asked.name).path(quantize.MODEL)
    if model.is_dir():
        told(f"reading the files in {model}")
    with tempfile.TemporaryDirectory() as small:
        seen = _Seen(hub, repository, commit, Path(small))
        rows = [_row(wanted, model if model.is_dir() else None, there, seen) for wanted in lock.model]
        rows += [_committed(wanted, there, seen) for wanted in _beside(folders.release(asked.name), lock, there)]
        if signing := asked.release.signing:
            row, problem, remark = _signed(Signer(signing, folders.root), rows, there, seen)
            rows, problems, remarks = [*rows, *row], (*problems, *problem), (*remarks, *remark)
        if SUMS in there and all(row.file.sha256 for row in rows):
            sums = Manifest(tuple(row.file for row in rows)).sums().encode()
            rows.append(_committed(_of_bytes(SUMS, sums), there, seen))
    known = {row.file.path for row in rows}
    rows += [Row(file, "not looked at", "not of the release") for file in there if file.path not in known]
    return Verified(
        asked.name,
        hub.address(repository),
        lock.target.tag,
        commit,
        problems,
        remarks,
        tuple(sorted(rows, key=lambda row: row.file.path)),
        model if model.is_dir() else None,
    )


def _published(hub: Hub, repository: Repository, lock: Lock) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The commit to look at, what is wrong with tag and commit, and what is worth knowing about the head."""
    tag, locked = lock.target.tag, str(lock.target.commit)
    head = hub.head(repository)
    if head is None:
        raise PipelineError(f"the Hub shows no {repository}", hint="Sign in if it is private: `hf auth login`.")
    tagged = hub.tags(repository).get(tag)
    problems = []
    if tagged is None:
        withdrawn = is_withdrawn(hub, repository, tag)
        problems.append(f"the tag {tag} was withdrawn" if withdrawn else f"the tag {tag} is not on the Hub")
    elif tagged != locked:
        problems.append(f"the tag {tag} names commit {tagged[:12]}, and the lock {locked[:12]}")
    commit = tagged or locked
    if commit == locked and hub.head(repository, commit) is None:
        raise PipelineError(
            f"{repository} has neither the tag {tag} nor the commit {locked[:12]}",
            hint="Somebody removed the tag and rewrote the history, or it is another repository of that name.",
        )
    remarks = () if head == commit else (f"main is at another commit, {head[:12]}",)
    return commit, tuple(problems), remarks


@dataclass(frozen=True)
class _Seen:
    """What the Hub holds, with the SHA-256 also of the small files, of which it tells another digest."""

    hub: Hub
    repository: Repository
    commit: str
    folder: Path

    def of(self, wanted: File, file: File) -> File:
        """`file` with the digest that `wanted` has; its content is fetched where that takes it."""
        if file.sha256 or wanted.git_sha1 or wanted.size != file.size:
            return file
        target = self.folder / hashlib.sha256(file.path.encode()).hexdigest()
        self.hub.download(self.repository, self.commit, file, target, untold)
        return replace(file, sha256=sha256(target))


def _row(wanted: File, model: Path | None, there: Manifest, seen: _Seen) -> Row:
    here: State = "not looked at"
    if model:
        path = model / wanted.path
        local = describe(path, wanted.path) if path.is_file() else None
        here = _state(wanted, local)
        if local and here == "same":
            wanted = local  # with both digests, so that nothing need be fetched to compare
    return replace(_committed(wanted, there, seen), here=here)


def _committed(wanted: File, there: Manifest, seen: _Seen) -> Row:
    published = seen.of(wanted, there[wanted.path]) if wanted.path in there else None
    return Row(wanted, "same", _state(wanted, published))


def _signed(signer: Signer, rows: list[Row], there: Manifest, seen: _Seen) -> tuple[list[Row], list[str], list[str]]:
    """The row of the signature, what is wrong with it, and by whom it is; it has to be of what the lock says."""
    if signature.FILE not in there:
        return [], [f"it is not signed, and release.yaml asks for a signature by {signer.by}"], []
    path = seen.folder / signature.FILE
    seen.hub.download(seen.repository, seen.commit, there[signature.FILE], path, untold)
    file = describe(path, signature.FILE)
    if why := signer.wrong(signature.signed(Manifest(tuple(row.file for row in rows))), path):
        return [Row(file, "same", "other content")], [f"the signature does not hold: {why}"], []
    return [Row(file, "same", "same")], [], [f"signed by {signer.by}"]


def _state(wanted: File, found: File | None) -> State:
    if found is None:
        return "missing"
    if found.size != wanted.size:
        return "other size"
    return "same" if wanted.same_content(found) else "other content"


def _beside(folder: Path, lock: Lock, there: Manifest) -> list[File]:
    """What the release's folder holds of what is published beside the model."""
    plots = sorted((folder / "assets").glob("*.png"))
    # Releases of earlier versions of this program have nothing but the card on the Hub.
    rendered = [name for name in render.FILES if name == _CARD or name in there]
    names = [*rendered, *(f"assets/{plot.name}" for plot in plots)]
    unpublished = replace(lock, target=replace(lock.target, commit=None)).to_json().encode()
    return [
        _of_bytes(name, unpublished if name == _LOCK else (folder / name).read_bytes())
        for name in names
        if (folder / name).exists()
    ]


def _of_bytes(path: str, content: bytes) -> File:
    blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
    return File(path, len(content), hashlib.sha256(content).hexdigest(), blob)
