"""Bytes on disk, named by their SHA-256 and shared by all repositories."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.hub.local.refusals import ReadOnly, Refusal
from pipeline.manifest import sha256 as sha256_of
from pipeline.manifest import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Incoming:
    """A blob while it arrives: no one can name it until all of it is there and its digest is known."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, block: bytes | bytearray) -> None:
        self.file.write(block)
        self._digest.update(block)
        self.size += len(block)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class Blobs:
    """Blobs under `root`; a file is there whole or not at all, whenever the process is killed."""

    def __init__(self, root: Path, *, readonly: bool = False) -> None:
        self._kept = root / "blobs"
        self._incoming = root / "incoming"
        self._readonly = readonly

    def path(self, sha256: str) -> Path:
        """Where the blob is, or would be."""
        if not _SHA256.fullmatch(sha256):
            raise Refusal(f"{sha256!r} is not a SHA-256 in hexadecimal")
        return self._kept / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes of a stored blob; None when it is not stored."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def stored(self) -> list[str]:
        """The SHA-256 of every blob, in order."""
        return sorted(path.name for path in self._kept.glob("*/*"))

    def drop(self, sha256: str) -> None:
        """Forget a blob; one that a commit refers to must not be dropped."""
        if self._readonly:
            raise ReadOnly("this Hub is read-only")
        self.path(sha256).unlink(missing_ok=True)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A new blob to write to; unless it is kept it is gone at the end."""
        path = self.aside()
        with path.open("xb") as file:
            try:
                yield Incoming(file)
            finally:
                path.unlink(missing_ok=True)

    def keep(self, incoming: Incoming) -> str:
        """Store a blob that has arrived whole, and its SHA-256."""
        incoming.file.flush()
        self._publish(incoming.file, incoming.sha256)
        return incoming.sha256

    def write_part(self, upload: str, offset: int, block: bytes | bytearray) -> None:
        """Put bytes of a blob that is sent in parts where they belong; parts come in any order."""
        self._make_incoming()
        handle = os.open(self._incoming / upload, os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.seek(offset)
            file.write(block)

    def assemble(self, upload: str, sha256: str, size: int) -> None:
        """Store a blob of which all parts have arrived; `Refusal`, and the parts forgotten, when it is another one."""
        if self.size(sha256) == size:  # the answer to an earlier call was lost
            return
        path = self._incoming / upload
        if not path.exists():
            raise Refusal(f"no part of {sha256} has arrived")
        try:
            if path.stat().st_size != size or sha256_of(path) != sha256:
                raise Refusal(f"the parts do not make up the {size} bytes of {sha256}")
            with path.open("rb") as file:
                self._publish(file, sha256)
        finally:
            path.unlink(missing_ok=True)

    def aside(self) -> Path:
        """A new path in the folder whose content does not outlive the server."""
        self._make_incoming()
        return self._incoming / uuid.uuid4().hex

    def discard_incoming(self) -> None:
        """Remove what a killed server left half received; only for the server that owns the folder."""
        for path in self._incoming.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _make_incoming(self) -> None:
        if self._readonly:
            raise ReadOnly("this Hub is read-only")
        make_folder(self._incoming)

    def _publish(self, file: BinaryIO, sha256: str) -> None:
        target = self.path(sha256)
        if target.exists():
            return
        make_folder(target.parent)
        os.fsync(file.fileno())
        Path(file.name).replace(target)
        sync_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Like `mkdir -p`, but the new folders survive a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
