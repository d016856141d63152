"""What a revision holds: entries, trees and commits, named by the SHA-1 of their canonical JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from pipeline.hub.local.refusals import EntryNotFound, Refusal
from pipeline.manifest import check_relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Entry:
    """One file of a tree.

    sha256: of its bytes, and the name of the stored blob.
    oid: what git would call it: the id of its bytes, or of the pointer that stands for them in large-file storage.
    large: whether it is in large-file storage.
    """

    path: str
    size: int
    sha256: str
    oid: str
    large: bool

    @property
    def etag(self) -> str:
        """The digest that the Hub gives for it: SHA-256 in large-file storage, the git blob id otherwise."""
        return self.sha256 if self.large else self.oid

    @property
    def pointer_size(self) -> int:
        return len(pointer(self.sha256, self.size))


Tree: TypeAlias = "Mapping[str, Entry]"


@dataclass(frozen=True)
class Put:
    entry: Entry


@dataclass(frozen=True)
class Remove:
    path: str
    folder: bool = False


@dataclass(frozen=True)
class Commit:
    """`tree` and `parent` are ids; `date` is UTC as the Hub writes it; the first line of `message` is the title."""

    tree: str
    parent: str | None
    author: str
    date: str
    message: str

    @property
    def id(self) -> str:
        return object_id(canonical(asdict(self)))

    @property
    def title(self) -> str:
        return self.message.partition("\n")[0]

    @property
    def description(self) -> str:
        return self.message.partition("\n")[2].strip()


def pointer(sha256: str, size: int) -> bytes:
    """The text that git keeps in place of a file in large-file storage (git-lfs specification, version 1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def blob_id(content: bytes) -> str:
    """What git calls these bytes."""
    return object_id(f"blob {len(content)}\0".encode() + content)


def large_entry(path: str, size: int, sha256: str) -> Entry:
    return Entry(path, size, sha256, blob_id(pointer(sha256, size)), large=True)


def canonical(value: object) -> bytes:
    """JSON with one spelling, so that equal content has an equal id."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def object_id(content: bytes) -> str:
    """Hex SHA-1, the shape of every id of the Hub."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def tree_content(entries: Iterable[Entry]) -> bytes:
    return canonical([asdict(entry) for entry in sorted(entries, key=lambda entry: entry.path)])


def tree_id(entries: Iterable[Entry]) -> str:
    return object_id(tree_content(entries))


def read_tree(content: bytes) -> dict[str, Entry]:
    return {row["path"]: Entry(**row) for row in json.loads(content)}


def folders(tree: Tree) -> dict[str, str]:
    """Every folder of a tree with an id that changes when anything below it does."""
    below: dict[str, list[Entry]] = {}
    for entry in tree.values():
        for parent in PurePosixPath(entry.path).parents[:-1]:
            below.setdefault(str(parent), []).append(entry)
    return {folder: tree_id(entries) for folder, entries in sorted(below.items())}


def changed(tree: Tree, operations: Iterable[Put | Remove]) -> dict[str, Entry]:
    """The tree after the operations, one after the other; `EntryNotFound` for a removal of what is not there."""
    result = dict(tree)
    for operation in operations:
        if isinstance(operation, Put):
            result[check_relative(operation.entry.path)] = operation.entry
            continue
        path = operation.path.rstrip("/")
        gone = [p for p in result if p.startswith(f"{path}/")] if operation.folder else [p for p in result if p == path]
        if not gone:
            kind = "folder" if operation.folder else "file"
            raise EntryNotFound(f"A {kind} with this name doesn't exist: {operation.path}")
        for each in gone:
            del result[each]
    for path in result:
        for parent in PurePosixPath(path).parents[:-1]:
            if str(parent) in result:
                raise Refusal(f"{parent} cannot be a file and a folder at once")
    return result


def hub_date(moment: datetime | str | None = None) -> str:
    """A date as the Hub writes it, in UTC with milliseconds; now when none is given; any ISO 8601 text is read."""
    if moment is None:
        moment = datetime.now(UTC)
    elif isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
