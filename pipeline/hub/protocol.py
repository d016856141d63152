"""What the pipeline asks of a Hub. Small, so that retry, read-only and faults can wrap any implementation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from pipeline.manifest import File, Manifest

SURELY_LARGE = 10_000_000
"""Bytes; whatever is larger is in large-file storage, and no part of a commit's own request."""


@dataclass(frozen=True)
class Repository:
    id: str
    kind: Literal["model", "dataset"] = "model"

    def __str__(self) -> str:
        return self.id if self.kind == "model" else f"datasets/{self.id}"


@dataclass(frozen=True)
class Commit:
    """Who changed a repository, when and with what title, in their own words."""

    id: str
    authors: str
    date: datetime
    title: str


@dataclass(frozen=True)
class Storage:
    """What the Hub tells of the room that a repository takes: bytes of all its revisions, and who pays for them.

    used: None where it does not say. free: whether it belongs to the token's own account, which pays nothing; False for
    one that does, None for an organization and wherever it is not known.
    """

    used: int | None
    private: bool
    free: bool | None


@dataclass(frozen=True)
class Upload:
    """A local file and where it goes: its digests are known before a byte is sent."""

    source: Path
    file: File


@dataclass(frozen=True)
class Copy:
    """A file of an earlier commit of the same repository: a large one gets into another commit without being sent."""

    commit: str
    file: File


class Advance(Protocol):
    def __call__(self, amount: int, /, *, resumed: bool = False) -> None:
        """Hear of `amount` bytes more; `resumed` ones were here already and say nothing about how fast it goes."""


class Hub(Protocol):
    """Raises `HubRefused` where asking again is useless and `HubError` where it is not."""

    @property
    def endpoint(self) -> str: ...

    def whoami(self) -> str:
        """The account of the token; `HubRefused` without a valid one."""

    def check_writable(self, repository: Repository) -> None:
        """`HubRefused` when the token may not write to the repository, or not create it where there is none."""

    def head(self, repository: Repository, revision: str = "main") -> str | None:
        """The commit that `revision` names; None when the repository or the revision does not exist."""

    def manifest(self, repository: Repository, revision: str) -> Manifest:
        """Every file at a revision with size and the digest that the Hub holds."""

    def history(self, repository: Repository, revision: str) -> Sequence[Commit]:
        """The commit that `revision` names and its ancestors, newest first."""

    def tags(self, repository: Repository) -> Mapping[str, str]:
        """Tag name to commit."""

    def storage(self, repository: Repository) -> Storage:
        """What is known of the room that a repository takes, which has to be there."""

    def read(self, repository: Repository, revision: str, path: str, start: int, length: int) -> bytes:
        """`length` bytes of a file from byte `start`, by a ranged request."""

    def download(self, repository: Repository, revision: str, file: File, target: Path, advance: Advance) -> None:
        """Fetch one file whole, going on with what an earlier process left, digest verified, by one rename.

        Raises: `HubError` when the digest is another one for the first time, `HubRefused` the second time.
        """

    def create(self, repository: Repository) -> None:
        """Create the repository, private until `make_public`; one that exists already is left as it is."""

    def validate_card(self, card: str) -> None:
        """Ask the Hub whether it accepts this card's front matter; `HubRefused` says what is wrong with it."""

    def is_private(self, repository: Repository) -> bool:
        """Whether only its owners see the repository."""

    def make_public(self, repository: Repository) -> None:
        """Let everybody see the repository."""

    def missing(self, repository: Repository, uploads: Sequence[Upload]) -> Sequence[Upload]:
        """Those of `uploads` that go up ahead of a commit and whose bytes the Hub does not hold."""

    def preupload(self, repository: Repository, upload: Upload, advance: Callable[[int], None]) -> None:
        """Send one file's bytes ahead of the commit; does nothing for bytes the Hub holds already."""

    def commit(
        self,
        repository: Repository,
        uploads: Sequence[Upload | Copy],
        deletes: Sequence[str],
        *,
        parent: str,
        message: str,
    ) -> str:
        """One atomic commit on `parent` and its id.

        Raises: Overtaken when `parent` is not the head any more; BlobsGone when bytes sent ahead are not there.
        """

    def tag(self, repository: Repository, name: str, commit: str) -> None:
        """Name a commit; `HubRefused` when the tag names another one."""

    def untag(self, repository: Repository, name: str) -> None:
        """Remove a tag; one that is not there is none to remove."""

    def address(self, repository: Repository, revision: str | None = None) -> str:
        """Where a person looks at the repository."""


def untold(_amount: int, /, *, resumed: bool = False) -> None:
    """An `advance` for small files, whose progress nobody waits to see."""
