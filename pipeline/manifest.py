"""One description of a folder and of a Hub revision, so that what is left to do is a difference of two of them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

SUMS = "SHA256SUMS"
"""The digest of every other published file, for whoever has neither this program nor the Hub's client."""
_BLOCK = 1 << 22


@dataclass(frozen=True, order=True)
class File:
    """A file by its content: `path` relative with forward slashes, `size` in bytes.

    The Hub knows the SHA-256 of files in large-file storage and the git blob SHA-1 of all others; either is "" when
    unknown.
    """

    path: str
    size: int
    sha256: str = ""
    git_sha1: str = ""

    def same_content(self, other: File) -> bool:
        """Whether both are known to hold the same bytes; an unknown digest is never taken for a match."""
        if self.size != other.size:
            return False
        if self.sha256 and other.sha256:
            return self.sha256 == other.sha256
        return bool(self.git_sha1) and self.git_sha1 == other.git_sha1

    def can_be(self, content: bytes) -> bool:
        """Whether nothing that is known of the file speaks against these bytes."""
        if self.sha256:
            return hashlib.sha256(content).hexdigest() == self.sha256
        return len(content) == self.size and self.git_sha1 in {"", _blob_id(len(content), [content])}


@dataclass(frozen=True)
class Manifest:
    files: tuple[File, ...]

    def __post_init__(self) -> None:
        for file in self.files:
            check_relative(file.path)
        object.__setattr__(self, "files", tuple(sorted(self.files)))

    def __iter__(self) -> Iterator[File]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, path: object) -> bool:
        return any(file.path == path for file in self.files)

    def __getitem__(self, path: str) -> File:
        for file in self.files:
            if file.path == path:
                return file
        raise KeyError(path)

    def __sub__(self, other: Manifest) -> Manifest:
        """The files that `other` does not hold with the same content."""
        theirs = {file.path: file for file in other.files}
        return Manifest(tuple(f for f in self.files if f.path not in theirs or not f.same_content(theirs[f.path])))

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 over paths, sizes and digests: equal exactly when the described files are equal."""
        lines = [[f.path, f.size, f.sha256 or f.git_sha1] for f in self.files]
        return hashlib.sha256(json.dumps(lines, separators=(",", ":")).encode()).hexdigest()

    def sums(self) -> str:
        """Lines as `sha256sum --check` reads them; every file has to be known by its SHA-256."""
        if nameless := [file.path for file in self.files if not file.sha256 or "\n" in file.path]:
            raise ValueError(f"no line can be written for {nameless}")
        return "".join(f"{file.sha256}  {file.path}\n" for file in self.files)

    def to_json(self) -> list[Json]:
        return [{key: value for key, value in asdict(file).items() if value != ""} for file in self.files]

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Json]]) -> Manifest:
        return cls(
            tuple(
                File(str(r["path"]), int(r["size"]), str(r.get("sha256", "")), str(r.get("git_sha1", "")))  # type: ignore[arg-type]
                for r in rows
            )
        )


def check_relative(path: str) -> str:
    """`path` itself when it stays inside whatever folder it is joined to; names from a repository are not trusted."""
    parts = path.split("/")
    if not path or "\\" in path or "\0" in path or any(part in {"", ".", ".."} for part in parts) or ":" in parts[0]:
        raise PipelineError(
            f"the file name {path!r} is not a plain relative path",
            hint="The repository it comes from is broken or hostile; nothing of it was written.",
        )
    return path


def sha256(path: Path, advance: Callable[[int], None] | None = None) -> str:
    """Hex SHA-256 of a file; `advance` is told the bytes of every block read."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
            if advance:
                advance(len(block))
    return digest.hexdigest()


def git_sha1(path: Path) -> str:
    """The git blob id of a file, which is how the Hub names files outside large-file storage."""
    with path.open("rb") as handle:
        return _blob_id(path.stat().st_size, iter(lambda: handle.read(_BLOCK), b""))


def _blob_id(size: int, blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def describe(path: Path, name: str, *, known_sha256: str = "") -> File:
    """The `File` of a local file under `name`, both digests known so that it compares with any Hub entry."""
    return File(name, path.stat().st_size, known_sha256 or sha256(path), git_sha1(path))


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace `path` by one rename, so that a reader or a kill never sees half of it."""
    raw = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name, so that what a killed process left is overwritten and not collected.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(raw)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
