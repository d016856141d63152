"""An older revision made the present one: one commit that points at bytes which the Hub holds already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import HubRefused
from pipeline.hub.protocol import Copy, Upload, untold
from pipeline.hub.publish import publish
from pipeline.manifest import describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.hub.protocol import Hub, Repository
    from pipeline.manifest import File, Manifest


@dataclass(frozen=True)
class Rollback:
    """What it takes that `head` is followed by a commit with the files of `commit`.

    copied: large files, which are pointed at; fetched: small ones, which git holds itself and which are sent back;
    deleted: what the older revision does not hold.
    """

    tag: str
    commit: str
    head: str
    wanted: Manifest
    copied: tuple[File, ...]
    fetched: tuple[File, ...]
    deleted: tuple[File, ...]

    @property
    def kept(self) -> tuple[File, ...]:
        changed = {file.path for file in (*self.copied, *self.fetched)}
        return tuple(file for file in self.wanted if file.path not in changed)

    @property
    def nothing_to_do(self) -> bool:
        return not (self.copied or self.fetched or self.deleted)


def plan_rollback(hub: Hub, repository: Repository, tag: str) -> Rollback:
    """Reads only. Raises: HubRefused when there is no such tag; the hint names those that there are."""
    head = hub.head(repository)
    if head is None:
        raise HubRefused(f"the Hub holds no {repository}", hint="Check target.repo in release.yaml.")
    tags = hub.tags(repository)
    if tag not in tags:
        raise HubRefused(f"{repository} has no tag {tag}", hint=f"Its tags are: {', '.join(sorted(tags)) or 'none'}.")
    wanted, there = hub.manifest(repository, tags[tag]), hub.manifest(repository, head)
    changed = tuple(wanted - there)
    return Rollback(
        tag,
        tags[tag],
        head,
        wanted,
        copied=tuple(file for file in changed if file.sha256),
        fetched=tuple(file for file in changed if not file.sha256),
        deleted=tuple(file for file in there if file.path not in wanted),
    )


def roll_back(
    hub: Hub, repository: Repository, planned: Rollback, folder: Path, *, note: Callable[[str], None] = lambda _: None
) -> str:
    """The commit that does it, on the head that was planned for, proven; the head itself when there is nothing to do.

    folder: where the small files are kept for as long as this takes.

    Raises: Overtaken when somebody else committed a file of the older revision meanwhile; HubError.
    """
    if planned.nothing_to_do:
        return planned.head
    uploads: dict[str, Upload | Copy] = {file.path: Copy(planned.commit, file) for file in planned.wanted}
    for number, file in enumerate(planned.fetched):
        target = folder / str(number)
        hub.download(repository, planned.commit, file, target, untold)
        uploads[file.path] = Upload(target, describe(target, file.path))
    return publish(
        hub,
        repository,
        list(uploads.values()),
        message=f"Roll back to {planned.tag}\n\nThe files of commit {planned.commit}.",
        parent=planned.head,
        spared=frozenset(),
        note=note,
    )
