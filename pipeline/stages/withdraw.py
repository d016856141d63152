"""A release taken back without breaking anybody: its card warns, its tag is removed, its files stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card.withdrawal import mark
from pipeline.errors import HubError, HubRefused
from pipeline.hub.doubt import THE_HUBS_OWN, difference
from pipeline.hub.protocol import Upload, untold
from pipeline.manifest import SUMS, describe, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.hub.protocol import Hub, Repository
    from pipeline.manifest import File

_CARD = "README.md"


@dataclass(frozen=True)
class Withdrawal:
    """What it takes to withdraw a tag, from what the Hub holds now.

    before, after: the card of main; present: whether it is that of the withdrawn release; tagged: the tag is there.
    """

    tag: str
    head: str
    before: str
    after: str
    present: bool
    tagged: bool

    @property
    def marked(self) -> bool:
        return self.before == self.after

    @property
    def nothing_to_do(self) -> bool:
        return self.marked and not self.tagged


def title(tag: str) -> str:
    return f"Withdraw {tag}"


def is_withdrawn(hub: Hub, repository: Repository, tag: str) -> bool:
    """Whether the repository's history says so; asks for all of it."""
    return any(commit.title == title(tag) for commit in hub.history(repository, "main"))


def plan_withdrawal(
    hub: Hub, repository: Repository, tag: str, reason: str, *, published: str | None, folder: Path
) -> Withdrawal:
    """Reads only.

    published: the commit that this release made, as its lock says; folder: where the card is kept meanwhile.

    Raises: HubRefused when there is nothing to withdraw, or the tag is somebody else's.
    """
    head = hub.head(repository)
    if head is None:
        raise HubRefused(f"the Hub holds no {repository}", hint="Check target.repo in release.yaml.")
    tagged = hub.tags(repository).get(tag)
    if tagged is None and published is None:
        raise HubRefused(f"{repository} has no tag {tag}, so there is nothing to withdraw")
    if tagged and published and tagged != published:
        raise HubRefused(
            f"the tag {tag} of {repository} names commit {tagged[:12]}, and this release made {published[:12]}",
            hint="Check out the release.lock.json of what was published under that tag.",
        )
    there = hub.manifest(repository, head)
    before = ""
    if _CARD in there:
        path = folder / "published.md"
        hub.download(repository, head, there[_CARD], path, untold)
        before = path.read_text(encoding="utf-8")
    wanted = hub.manifest(repository, str(tagged or published))
    present = not difference(wanted, there, THE_HUBS_OWN | {_CARD, SUMS})
    return Withdrawal(tag, head, before, mark(before, tag, reason, present=present), present, tagged is not None)


def withdraw(hub: Hub, repository: Repository, planned: Withdrawal, folder: Path) -> str:
    """The commit whose card warns: mark it first, then remove the tag, so that nobody finds neither.

    Raises: Overtaken when somebody else committed meanwhile; HubRefused when the Hub does not accept the card.
    """
    commit = planned.head
    if not planned.marked:
        hub.validate_card(planned.after)
        path = folder / "marked.md"
        write_atomically(path, planned.after)
        upload = Upload(path, describe(path, _CARD))
        uploads = [upload, *_sums(hub, repository, planned.head, upload.file, folder)]
        commit = hub.commit(repository, uploads, [], parent=planned.head, message=title(planned.tag))
        if not upload.file.same_content(hub.manifest(repository, commit)[_CARD]):
            raise HubError(
                f"commit {commit[:12]} of {repository} does not hold the card that was sent",
                hint="The tag was not removed. Run the same command again.",
            )
    if planned.tagged:
        hub.untag(repository, planned.tag)
    return commit


def _sums(hub: Hub, repository: Repository, head: str, card: File, folder: Path) -> list[Upload]:
    """The sums with the digest of the marked card, so that whoever checks a copy by them finds nothing wrong."""
    there = hub.manifest(repository, head)
    if SUMS not in there:
        return []
    path = folder / "sums"
    hub.download(repository, head, there[SUMS], path, untold)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write_atomically(
        path, "".join(f"{card.sha256}  {_CARD}\n" if line.endswith(f"  {_CARD}\n") else line for line in lines)
    )
    return [Upload(path, describe(path, SUMS))]
