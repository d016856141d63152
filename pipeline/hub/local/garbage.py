"""What the real Hub does after a day or so: bytes that no commit refers to are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.hub.local.store import Store


def collect(store: Store, most: int | None = None) -> list[str]:
    """Drop blobs that no commit refers to, at most so many in the order of their names, and say which.

    Of what came through Xet go the xorbs of which no file is made that is left, among them those whose file never came;
    where only so many blobs may go, only the xorbs of these.
    """
    kept = {
        entry.sha256
        for repository in store.repositories()
        for head in store.refs(repository).names.values()
        for commit in store.history(repository, head)
        for entry in store.tree(repository, commit.id).values()
    }
    stored = sorted({*store.blobs.stored(), *store.xet.stored()})
    dropped = [sha256 for sha256 in stored if sha256 not in kept][:most]
    xorbs: set[bytes] = set()
    for sha256 in dropped:
        store.blobs.drop(sha256)
        xorbs |= store.xet.drop(sha256)
    store.xet.sweep(None if most is None else xorbs)
    return dropped
