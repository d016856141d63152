"""A repository's whole content by one commit, whatever happens in between: the last step of every release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import BlobsGone, HubError, Overtaken
from pipeline.hub.doubt import THE_HUBS_OWN, difference, overtaken
from pipeline.hub.protocol import Upload
from pipeline.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.hub.protocol import Copy, Hub, Repository

_ROUNDS = 5
_AGAIN = "Run the same command again: it goes on where it stopped."


def publish(
    hub: Hub,
    repository: Repository,
    uploads: Sequence[Upload | Copy],
    *,
    message: str,
    parent: str | None = None,
    spared: frozenset[str] = THE_HUBS_OWN,
    note: Callable[[str], None] = lambda _: None,
) -> str:
    """The commit at which `repository` holds exactly `uploads`: the present head, or a new one, proven.

    Whatever else the head holds is deleted by the same commit. Somebody else's commits in the meantime are in the way
    only when they changed a file of `uploads`; bytes that the Hub has dropped are sent again, and no others.

    parent: the head as it was when the release began; None takes the present one.
    spared: paths that may hold what they like where `uploads` does not name them.
    note: hears of what had to be done anew.

    Raises: Overtaken, which says who committed what; HubError.
    """
    wanted = Manifest(tuple(upload.file for upload in uploads))
    seen = parent
    for _ in range(_ROUNDS):
        head = hub.head(repository)
        if head is None:
            raise HubError(f"{repository} is gone", hint="Run the same command again: it creates the repository anew.")
        there = hub.manifest(repository, head)
        if not difference(wanted, there, spared):
            return head
        try:
            if seen and head != seen:
                _check_ours(wanted, overtaken(hub, repository, seen, head, ours=message.partition("\n")[0]), note)
            seen = head
            commit = hub.commit(
                repository,
                [upload for upload in uploads if upload.file in (wanted - there).files],
                [file.path for file in there if file.path not in wanted and file.path not in spared],
                parent=head,
                message=message,
            )
        except Overtaken as moved:
            _check_ours(wanted, moved, note)
            seen = moved.head  # what comes after it is looked at again
        except BlobsGone as gone:
            _send_again(hub, repository, uploads, gone, note)
        else:
            _prove(hub, repository, wanted, commit, spared)
            return commit
    raise HubError(f"{repository} did not come to rest in {_ROUNDS} attempts to commit to it", hint=_AGAIN)


def _check_ours(wanted: Manifest, moved: Overtaken, note: Callable[[str], None]) -> None:
    """Stop unless what somebody else changed is none of the files that are to be there."""
    if moved.paths is None or any(path in wanted for path in moved.paths):
        raise moved
    if moved.paths:
        note(f"{moved}; none of these files is to be there, so it goes on, and its own commit removes them")


def _send_again(
    hub: Hub, repository: Repository, uploads: Sequence[Upload | Copy], gone: BlobsGone, note: Callable[[str], None]
) -> None:
    again = [upload for upload in uploads if isinstance(upload, Upload) and upload.file.path in gone.paths]
    if not again:
        raise gone
    note(f"the Hub has dropped {', '.join(upload.file.path for upload in again)} before the commit: sent again")
    for upload in again:
        hub.preupload(repository, upload, lambda _: None)


def _prove(hub: Hub, repository: Repository, wanted: Manifest, commit: str, spared: frozenset[str]) -> None:
    if wrong := difference(wanted, hub.manifest(repository, commit), spared):
        raise HubError(
            f"commit {commit[:12]} of {repository} does not hold what was sent: {', '.join(wrong[:5])}",
            hint="Nothing was tagged. Run the same command again to send it anew.",
        )
