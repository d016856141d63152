"""Repositories on disk: blobs, trees and commits that never change, and one file of refs that is replaced by a rename.

blobs/ab/abcdef...                           bytes by SHA-256, shared by all repositories
xet/                                         bytes that were uploaded through Xet, see xet_store.py
incoming/                                    half-received bytes, emptied when a server starts
repositories/models/demo/NAME/refs.json      visibility, branches and tags; the repository exists when this does
repositories/models/demo/NAME/{commits,trees}/ID.json
commit.lock                                  held while refs change, by whichever process changes them
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pipeline.hub.local.attributes import GITATTRIBUTES, is_large
from pipeline.hub.local.blobs import Blobs, make_folder
from pipeline.hub.local.contents import (
    Commit,
    Entry,
    Put,
    Remove,
    blob_id,
    canonical,
    changed,
    hub_date,
    large_entry,
    read_tree,
    tree_content,
    tree_id,
)
from pipeline.hub.local.refusals import (
    AlreadyExists,
    HeadMoved,
    ReadOnly,
    Refusal,
    RepositoryNotFound,
    RevisionNotFound,
)
from pipeline.hub.local.xet_store import XetStore
from pipeline.hub.protocol import Repository
from pipeline.manifest import check_relative, sync_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# The Hub's rule for names, so that what is rehearsed here works there; it also keeps names inside their folder.
_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?(?<!\.git)")
_REF = re.compile(
    r"(?!.*(//|\.\.|@\{|/\.|\.lock(/|$)))[^\s~^:?*\[\\\x00-\x1f\x7f/.][^\s~^:?*\[\\\x00-\x1f\x7f]*(?<![/.])"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOCK = 1 << 20
BRANCH = "refs/heads/"
TAG = "refs/tags/"
_MAIN = "refs/heads/main"


@dataclass(frozen=True)
class Refs:
    """All of a repository that can change; `names` maps refs/heads/BRANCH and refs/tags/TAG to commit ids."""

    private: bool
    created: str
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def branches(self) -> dict[str, str]:
        return self._below(BRANCH)

    @property
    def tags(self) -> dict[str, str]:
        return self._below(TAG)

    def _below(self, prefix: str) -> dict[str, str]:
        return {ref.removeprefix(prefix): commit for ref, commit in self.names.items() if ref.startswith(prefix)}


class Store:
    """The repositories under `root`; opening writes nothing, and a read-only one refuses every change."""

    def __init__(self, root: Path, *, readonly: bool = False) -> None:
        self.root = root
        self.readonly = readonly
        self.blobs = Blobs(root, readonly=readonly)
        self.xet = XetStore(root, readonly=readonly)

    def has(self, repository: Repository, revision: str = "main") -> bool:
        """Whether the repository exists and holds the revision (a commit, a branch or a tag)."""
        try:
            self.resolve(repository, revision)
        except (RepositoryNotFound, RevisionNotFound):
            return False
        return True

    def repositories(self) -> list[Repository]:
        """Every repository, models first, by name."""
        kinds: tuple[Literal["model", "dataset"], ...] = ("model", "dataset")
        folders = ((kind, self.root / "repositories" / f"{kind}s") for kind in kinds)
        return [
            Repository("/".join(path.parent.relative_to(folder).parts), kind)
            for kind, folder in folders
            for path in sorted(folder.glob("*/*/refs.json"))
        ]

    def refs(self, repository: Repository) -> Refs:
        try:
            return Refs(**json.loads((self._folder(repository) / "refs.json").read_bytes()))
        except FileNotFoundError:
            raise RepositoryNotFound(f"Repository not found: {repository}") from None

    def resolve(self, repository: Repository, revision: str) -> str:
        """The commit that a commit id, a branch or a tag names, and HEAD main's; `RevisionNotFound` without one."""
        refs = self.refs(repository)
        if _COMMIT.fullmatch(revision) and self._file(repository, "commits", revision).exists():
            return revision
        for ref in (revision, BRANCH + revision, TAG + revision, *([f"{BRANCH}main"] if revision == "HEAD" else [])):
            if ref in refs.names:
                return refs.names[ref]
        raise RevisionNotFound(f"Invalid rev id: {revision}")

    def commit_at(self, repository: Repository, commit: str) -> Commit:
        return Commit(**json.loads(self._read(repository, "commits", commit)))

    def tree(self, repository: Repository, commit: str) -> dict[str, Entry]:
        """The files at a commit by path."""
        return read_tree(self._read(repository, "trees", self.commit_at(repository, commit).tree))

    def history(self, repository: Repository, commit: str) -> Iterator[Commit]:
        """The commit and its ancestors, newest first."""
        current: str | None = commit
        while current is not None:
            found = self.commit_at(repository, current)
            yield found
            current = found.parent

    def create(self, repository: Repository, *, private: bool, author: str) -> None:
        """A new repository with the Hub's first commit; `AlreadyExists` when there is one."""
        if not _is_id(repository.id):
            raise Refusal(f"{repository.id!r} is not a repository id: two names of letters, digits, '-', '_' and '.'")
        with self._changing():
            if self.has(repository):
                raise AlreadyExists(f"You already created this {repository.kind} repo: {repository}")
            entry = self.add_regular(".gitattributes", GITATTRIBUTES.encode())
            date = hub_date()
            commit = Commit(tree_id([entry]), None, author, date, "initial commit")
            self._write(repository, Refs(private, created=date), _MAIN, commit, [entry])

    def set_private(self, repository: Repository, private: bool) -> None:
        with self._changing():
            self._write_refs(repository, replace(self.refs(repository), private=private))

    def delete(self, repository: Repository) -> None:
        """Remove a repository; blobs stay, other repositories may use them."""
        with self._changing():
            self.refs(repository)
            folder, aside = self._folder(repository), self.blobs.aside()
            folder.rename(aside)
            sync_folder(folder.parent)
            shutil.rmtree(aside)

    def large_size(self, sha256: str) -> int | None:
        """Bytes of what was uploaded to large-file storage, or through Xet; None when it was not."""
        size = self.blobs.size(sha256)
        if size is None and (file := self.xet.with_sha256(sha256)):
            return file.size
        return size

    def add_regular(self, path: str, content: bytes) -> Entry:
        """Store the bytes of a file that git holds itself."""
        with self.blobs.incoming() as incoming:
            incoming.write(content)
            sha256 = self.blobs.keep(incoming)
        return Entry(path, len(content), sha256, blob_id(content), large=False)

    def commit(
        self,
        repository: Repository,
        branch: str,
        operations: Sequence[Put | Remove],
        *,
        message: str,
        author: str,
        parent: str | None = None,
        date: str | None = None,
    ) -> str:
        """One commit on a branch, and its id; `HeadMoved` when `parent` is given and is not the head any more."""
        with self._changing():
            refs = self.refs(repository)
            ref = branch if branch.startswith(BRANCH) else BRANCH + branch
            if ref not in refs.names:
                raise RevisionNotFound(f"Invalid rev id: {branch}")
            head = refs.names[ref]
            if parent is not None and parent != head:
                raise HeadMoved("A commit has happened since. Please refresh and try again.")
            entries = list(changed(self.tree(repository, head), operations).values())
            commit = Commit(tree_id(entries), head, author, hub_date(date), message)
            return self._write(repository, refs, ref, commit, entries)

    def create_ref(self, repository: Repository, ref: str, commit: str) -> None:
        """Name a commit by a full ref (refs/tags/v1); `AlreadyExists` even when it names that commit already."""
        if not _REF.fullmatch(ref.removeprefix(BRANCH).removeprefix(TAG)):
            raise Refusal(f"{ref!r} is not a name for a branch or a tag")
        with self._changing():
            refs = self.refs(repository)
            if ref in refs.names:
                raise AlreadyExists(f"Reference already exists: {ref}")
            self._write_refs(repository, replace(refs, names={**refs.names, ref: commit}))

    def delete_ref(self, repository: Repository, ref: str) -> None:
        if ref == _MAIN:
            raise Refusal("the branch main cannot be deleted")
        with self._changing():
            refs = self.refs(repository)
            if ref not in refs.names:
                raise RevisionNotFound(f"Invalid rev id: {ref}")
            left = {each: commit for each, commit in refs.names.items() if each != ref}
            self._write_refs(repository, replace(refs, names=left))

    def import_folder(self, repository: Repository, files: Mapping[str, Path], message: str, date: str) -> str:
        """Make `files` (path in the repository to local file) the whole content of main, and the commit's id.

        As the first commit of a repository its id depends on nothing but the files, the message and the date. What has
        been imported before is left alone. The bytes are copied: later changes of a local file do not reach the store.
        Works beside a running server, of this process or another.
        """
        entries = [self._add_file(check_relative(path), source) for path, source in sorted(files.items())]
        first = Commit(tree_id(entries), None, "import", hub_date(date), message)
        with self._changing():
            if not self.has(repository):
                return self._write(repository, Refs(private=False, created=first.date), _MAIN, first, entries)
            refs = self.refs(repository)
            head = self.commit_at(repository, refs.names[_MAIN])
            if head == replace(first, parent=head.parent):
                return head.id
            if first in self.history(repository, head.id):
                return first.id
            return self._write(repository, refs, _MAIN, replace(first, parent=head.id), entries)

    def _write(self, repository: Repository, refs: Refs, ref: str, commit: Commit, entries: Sequence[Entry]) -> str:
        """Store a commit and its tree, then let `ref` name it; until that last rename nobody can see it."""
        for kind, name, content in (
            ("trees", commit.tree, tree_content(entries)),
            ("commits", commit.id, canonical(asdict(commit))),
        ):
            path = self._file(repository, kind, name)
            make_folder(path.parent)
            write_atomically(path, content)
        self._write_refs(repository, replace(refs, names={**refs.names, ref: commit.id}))
        return commit.id

    def _write_refs(self, repository: Repository, refs: Refs) -> None:
        write_atomically(self._folder(repository) / "refs.json", canonical(asdict(refs)))

    def _add_file(self, path: str, source: Path) -> Entry:
        size = source.stat().st_size
        oid = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        with source.open("rb") as file, self.blobs.incoming() as incoming:
            while block := file.read(_BLOCK):
                incoming.write(block)
                oid.update(block)
            if incoming.size != size:
                raise Refusal(f"{source} changed while it was read")
            sha256 = self.blobs.keep(incoming)
        if is_large(path, size):
            return large_entry(path, size, sha256)
        return Entry(path, size, sha256, oid.hexdigest(), large=False)

    def _read(self, repository: Repository, kind: str, name: str) -> bytes:
        try:
            return self._file(repository, kind, name).read_bytes()
        except FileNotFoundError:
            raise RevisionNotFound(f"Invalid rev id: {name}") from None

    def _file(self, repository: Repository, kind: str, name: str) -> Path:
        return self._folder(repository) / kind / f"{name}.json"

    def _folder(self, repository: Repository) -> Path:
        if not _is_id(repository.id):
            raise RepositoryNotFound(f"Repository not found: {repository}")
        return self.root.joinpath("repositories", f"{repository.kind}s", *repository.id.split("/"))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time, over all threads and processes."""
        if self.readonly:
            raise ReadOnly("this Hub is read-only")
        make_folder(self.root)
        with (self.root / "commit.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_id(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(_NAME.fullmatch(part) for part in parts)
