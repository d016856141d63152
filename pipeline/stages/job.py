"""One release as its stages see it: what was asked, what is known of the base, and where things are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.engine.workspace import Workspace
from pipeline.errors import BaseModelError
from pipeline.hub.protocol import Repository
from pipeline.lock import Lock
from pipeline.manifest import File, write_atomically
from pipeline.release.find import lock_file
from pipeline.release.recipe import assign
from pipeline.weights.base import BaseModel, card_of, describes, read_base, weight_files
from pipeline.weights.side_files import side_files

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.hub.protocol import Hub
    from pipeline.release.load import Asked
    from pipeline.release.recipe import Assignment, Recipe
    from pipeline.release.schema import Release
    from pipeline.weights.layout import Layout

_DESCRIPTION = "base.json"
DISTORTION = "distortion.json"
"""In a release's workspace: what every precision loses of the base's weights, as far as it was measured."""


@dataclass(frozen=True)
class Folders:
    """root: the release repository; workspace: where everything large goes."""

    root: Path
    workspace: Path

    @property
    def hub(self) -> Path:
        """What the embedded Hub keeps."""
        return self.workspace / "hub"

    def release(self, name: str) -> Path:
        return self.root / "releases" / name

    def work(self, name: str) -> Workspace:
        return Workspace(self.workspace / "releases" / name)


@dataclass(frozen=True)
class Planned:
    """A release of which everything is known that can be known before it begins."""

    asked: Asked
    folders: Folders
    base: BaseModel
    assignment: Assignment
    layout: Layout

    @property
    def name(self) -> str:
        return self.asked.name

    @property
    def release(self) -> Release:
        return self.asked.release

    @property
    def recipe(self) -> Recipe:
        return self.asked.recipe

    @property
    def workspace(self) -> Workspace:
        return self.folders.work(self.name)

    @property
    def base_files(self) -> tuple[File, ...]:
        """The files of the base that are fetched: the weights that mlx-lm loads, and what comes along with them."""
        beside = (file.path for file in side_files(self.base.files))
        wanted = {*weight_files(self.base.files), *beside, "config.json"}
        return tuple(file for file in self.base.files if file.path in wanted)


@dataclass(frozen=True)
class Job(Planned):
    """A release that can be carried out; reviewed: digest of the only card that may be published, None for any."""

    hub: Hub
    reviewed: str | None = None

    @property
    def published_commit(self) -> str | None:
        """The commit that an earlier run of this release made."""
        path = self.folders.root / lock_file(self.name)
        return Lock.from_json(path.read_bytes(), lock_file(self.name)).target.commit if path.exists() else None


def open_job(asked: Asked, folders: Folders, hub: Hub, *, keep: bool) -> Job:
    """Everything that a plan is made from; reads the base's headers from the Hub when no `base.json` describes it.

    keep: compare the description with the Hub, where that holds the base yet, and write what was read anew to
    `base.json` beside the release. Without it a description is trusted, so that a plan needs no network.

    Raises: BaseModelError, ReleaseFileError when the recipe does not fit the base, HubError.
    """
    planned = _planned(asked, folders, base_of(asked, folders, hub, keep=keep))
    return Job(asked, folders, planned.base, planned.assignment, planned.layout, hub)


def _planned(asked: Asked, folders: Folders, base: BaseModel) -> Planned:
    from pipeline.weights.architecture import modules
    from pipeline.weights.layout import layout

    assignment = assign(asked.recipe, modules(base))
    return Planned(
        asked, folders, base, assignment, layout(base, assignment.precisions, asked.release.target.shard_size)
    )


def open_planned(asked: Asked, folders: Folders) -> Planned | None:
    """Like `open_job`, without any Hub; None when no `base.json` describes the base."""
    _, base = _stored(asked, folders)
    return _planned(asked, folders, base) if base else None


def base_of(asked: Asked, folders: Folders, hub: Hub, *, keep: bool) -> BaseModel:
    wanted = asked.release.base
    path, stored = _stored(asked, folders)
    if stored and not keep:
        return stored
    repository = Repository(wanted.repo)
    if hub.head(repository, wanted.revision) is None:
        if stored and not stored.note:  # a rehearsal, whose Hub is given the base during the run
            return stored
        raise BaseModelError(
            f"{hub.endpoint} holds no {wanted.repo} at {wanted.revision[:12]}",
            hint="Correct base.repo and base.revision in release.yaml, or sign in if it is private or gated.",
        )
    files = hub.manifest(repository, wanted.revision)
    read = partial(hub.read, repository, wanted.revision)
    if stored and not stored.note and not len(files - stored.files) and len(files) == len(stored.files):
        if stored.card is not None:
            return stored
        base = replace(stored, card=card_of(files, read))  # it is older than the reading of cards
    else:
        path, base = folders.release(asked.name) / _DESCRIPTION, read_base(wanted.repo, wanted.revision, files, read)
    if keep:
        write_atomically(path, base.to_json())
    return base


def _stored(asked: Asked, folders: Folders) -> tuple[Path, BaseModel | None]:
    """The description beside this release, or beside another one of the same base: it is large and the same for all."""
    wanted = asked.release.base
    own = folders.release(asked.name) / _DESCRIPTION
    if own.exists():
        stored = BaseModel.from_json(own.read_text())
        if (stored.repo, stored.revision) == (wanted.repo, wanted.revision):
            return own, stored
    for other in sorted((folders.root / "releases").glob(f"*/{_DESCRIPTION}")):
        if describes(text := other.read_text(), wanted.repo, wanted.revision):
            return other, BaseModel.from_json(text)
    return own, None
