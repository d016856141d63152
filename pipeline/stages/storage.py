"""What can be known beforehand of the room on the Hub: its documented limits, beside what a release is about to send.

The limits are those of https://huggingface.co/docs/hub/storage-limits as of August 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.card.figures import byte_size, grouped
from pipeline.errors import DoesNotFit
from pipeline.hub.protocol import Repository
from pipeline.weights.side_files import side_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.hub.protocol import Storage
    from pipeline.stages.job import Job

_GB = 1_000_000_000
_LARGEST_FILE = 500 * _GB
_LARGE_FILE = 200 * _GB  # recommended
_MOST_IN_A_FOLDER = 10_000
_MOST_IN_A_COMMIT = 100  # recommended
_PRIVATE = {True: 100 * _GB, False: 1000 * _GB, None: 100 * _GB}
"""Private storage that is included, for an account that pays nothing, one that does, and in the worst case."""


def check_files(job: Job) -> None:
    """`DoesNotFit` where the Hub's documentation says that it will not take the files, whoever asks."""
    largest = max(job.layout.shards, key=lambda shard: shard.size)
    if largest.size > _LARGEST_FILE:
        divisible = largest.size <= job.release.target.shard_size
        raise DoesNotFit(
            f"{largest.name} would have {byte_size(largest.size)}, and the Hub takes no file above "
            f"{byte_size(_LARGEST_FILE)}",
            hint="Lower `target.shard_size` in release.yaml."
            if divisible
            else "It holds one tensor, which is not divided: give it fewer bits in the recipe.",
        )
    if (count := _files(job)) > _MOST_IN_A_FOLDER:
        raise DoesNotFit(
            f"there would be {grouped(count)} files in one folder, and the Hub takes {grouped(_MOST_IN_A_FOLDER)}",
            hint="Raise `target.shard_size` in release.yaml.",
        )


def remarks(job: Job) -> Iterator[str]:
    """How much goes where, and what the Hub's documentation lets expect of it."""
    target = Repository(job.release.target.repo)
    storage = job.hub.storage(target)
    planned = sum(shard.size for shard in job.layout.shards)
    held = "" if storage.used is None else f", which holds {byte_size(storage.used)} so far"
    yield f"up to {byte_size(planned)} to send to {target}{held}"
    if storage.private and planned + (storage.used or 0) > _PRIVATE[storage.free]:
        yield _private(job, storage)
    if any(shard.size > _LARGE_FILE for shard in job.layout.shards):
        yield f"the Hub recommends files below {byte_size(_LARGE_FILE)}: lower `target.shard_size`"
    if (count := _files(job)) > _MOST_IN_A_COMMIT:
        yield (
            f"{grouped(count)} files go into one commit, and the Hub, which checks each of them, recommends fewer than "
            f"{_MOST_IN_A_COMMIT}: a larger `target.shard_size` makes fewer"
        )


def _private(job: Job, storage: Storage) -> str:
    target = job.release.target
    free, paid = byte_size(_PRIVATE[True]), byte_size(_PRIVATE[False])
    if storage.free is False:
        has = f"an account that pays has {paid} of private storage; the Hub charges for what goes beyond it"
    elif storage.free:
        has = f"a free account has {free} of private storage; the Hub may refuse what goes beyond it"
    else:
        owner = target.repo.partition("/")[0]
        has = (
            f"an organization has {free} of private storage if it is free, and {paid} a seat if it is not; the Hub, "
            f"which does not say which {owner} is, may refuse or charge for what goes beyond it"
        )
    instead = "" if target.private else ". Made public on the Hub now, it shows nothing of this before the commit"
    return f"{target.repo} is private, and {has}{instead}"


def _files(job: Job) -> int:
    """At least: the shards, and what comes along from the base."""
    return len(job.layout.shards) + len(side_files(job.base.files))
