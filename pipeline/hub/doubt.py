"""Calls whose answer was lost: what the repository holds says whether they were carried out."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from pipeline.errors import HubRefused, Overtaken
from pipeline.hub.said import one_line
from pipeline.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.hub.protocol import Commit, Copy, Hub, Repository, Upload

THE_HUBS_OWN = frozenset({".gitattributes"})
"""The Hub itself puts these files into every repository, and changes them as it likes."""
_NAMED = 5


def committed(
    hub: Hub, repository: Repository, uploads: Sequence[Upload | Copy], deletes: Sequence[str], parent: str
) -> str | None:
    """The commit with these changes on `parent`, if it was made; None when `parent` is still the head.

    Raises: Overtaken when somebody else's commit is there in its place.
    """
    head = hub.head(repository)
    if head is None:
        raise HubRefused(f"{repository} is gone", hint="Somebody deleted or renamed it.")
    if head == parent:
        return None
    first = _since(hub, repository, parent, head)[-1]
    there = hub.manifest(repository, first.id)
    if not difference(_changed(hub.manifest(repository, parent), uploads, deletes), there):
        return first.id
    raise overtaken(hub, repository, parent, head)


def overtaken(hub: Hub, repository: Repository, parent: str, head: str, ours: str | None = None) -> Overtaken:
    """Who committed what since `parent`, newest first; commits with the title `ours` are nobody else's."""
    lines: list[str] = []
    paths: set[str] = set()
    commits = _since(hub, repository, parent, head)
    trees = [hub.manifest(repository, commit) for commit in (*(each.id for each in commits), parent)]
    for commit, now, before in zip(commits, trees, trees[1:], strict=False):
        if commit.title != ours:
            changed = {file.path for file in now - before} | {file.path for file in before - now}
            paths |= changed
            lines.append(f"{_told(commit)} ({_some(sorted(changed))})")
    return Overtaken(
        f"somebody else committed to {repository} since {parent[:12]}: " + "; ".join(lines),
        hint="Look at what they did. Running the same command again publishes over it.",
        paths=frozenset(paths),
        head=head,
    )


def difference(wanted: Manifest, there: Manifest, spared: frozenset[str] = THE_HUBS_OWN) -> list[str]:
    """Paths, except those that are spared, that differ in content, are missing, or should not be there."""
    mine, theirs = (Manifest(tuple(f for f in files if f.path not in spared)) for files in (wanted, there))
    return [file.path for file in mine - theirs] + [file.path for file in theirs if file.path not in mine]


def _since(hub: Hub, repository: Repository, parent: str, head: str) -> list[Commit]:
    """The commits after `parent`, newest first; all of them when the history has been rewritten."""
    return list(takewhile(lambda commit: commit.id != parent, hub.history(repository, head)))


def _changed(before: Manifest, uploads: Sequence[Upload | Copy], deletes: Sequence[str]) -> Manifest:
    files = {file.path: file for file in before} | {upload.file.path: upload.file for upload in uploads}
    return Manifest(tuple(file for path, file in files.items() if path not in set(deletes)))


def _told(commit: Commit) -> str:
    return (
        f"{commit.id[:12]} by {one_line(commit.authors)} on {commit.date:%Y-%m-%d %H:%M} UTC: {one_line(commit.title)}"
    )


def _some(paths: Sequence[str]) -> str:
    more = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" and {more} more" if more > 0 else "")
