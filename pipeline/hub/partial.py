"""A file that is not all here yet: its bytes at their places, and beside it a line for every piece that is."""

from __future__ import annotations

import os
import re
import zlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from pipeline.manifest import git_sha1, sha256, sync_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    from pipeline.hub.protocol import Advance
    from pipeline.manifest import File

PIECE = 1 << 20
"""Bytes that are noted at once: a kill costs less than one piece a connection."""
_WRONG = "arrived wrong"
_IDENTITY = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})? \d+ \d+")


class Partial:
    """`.NAME.part` and `.NAME.part.pieces` beside the target; a context, in which pieces may come in any order.

    Nothing is synchronized while pieces come. After a kill the system still writes both files whole. After a power cut
    they may disagree, or one of them lack its end: a piece is trusted only if its bytes have the checksum in its line.
    Checksums of pieces say nothing about what the Hub meant to send, only the digest of the whole file does.
    """

    def __init__(self, target: Path, file: File) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self.arrived_wrong = False
        self._target = target
        self.size = file.size
        self._digest = file.sha256 or file.git_sha1
        self._pieces = target.with_name(f".{target.name}.part.pieces")
        self._here: dict[int, int] = {}
        self._data = self._lines = -1
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Take over the lines that an earlier process left about the same content; they are checked by `check`."""
        first, *lines = _text(self._pieces).splitlines() or [""]
        if first == self._identity:
            self.arrived_wrong = _WRONG in lines
            self._here = dict(piece for line in lines if (piece := _parse(line)) and 0 <= piece[0] < self.count)
        self._data = self._opened(self.path, os.O_RDWR | os.O_CREAT)
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def count(self) -> int:
        return -(-self.size // PIECE)

    def length(self, index: int) -> int:
        return min(PIECE, self.size - index * PIECE)

    def __contains__(self, index: object) -> bool:
        return index in self._here

    def check(self, advance: Advance) -> None:
        """Forget every piece whose bytes are not those that were written; the others are counted as resumed."""
        if not self._here or os.fstat(self._data).st_size > self.size:
            os.ftruncate(self._data, 0 if not self._here else self.size)
        for index, checksum in sorted(self._here.items()):
            block = os.pread(self._data, self.length(index), index * PIECE)
            if len(block) == self.length(index) and zlib.crc32(block) == checksum:
                advance(len(block), resumed=True)
            else:
                del self._here[index]
        self._rewrite()

    def missing(self, at_most: int) -> list[range]:
        """Runs of missing pieces, in order, none longer than `at_most`."""
        runs: list[range] = []
        for index in range(self.count):
            if index in self._here:
                continue
            if runs and runs[-1].stop == index and len(runs[-1]) < at_most:
                runs[-1] = range(runs[-1].start, index + 1)
            else:
                runs.append(range(index, index + 1))
        return runs

    def put(self, index: int, block: bytes) -> None:
        """Write a whole piece, then its line; from any thread."""
        rest, offset = memoryview(block), index * PIECE
        while rest:
            written = os.pwrite(self._data, rest, offset)
            rest, offset = rest[written:], offset + written
        checksum = zlib.crc32(block)
        os.write(self._lines, _line(index, checksum))
        self._here[index] = checksum

    def is_right(self, advance: Callable[[int], None]) -> bool:
        """Whether the whole file, read again from the disk, has the Hub's digest."""
        return has_digest(self.path, self._digest, advance)

    def start_over(self) -> None:
        """All pieces came, and they are another file: remember that, and nothing else, for whoever tries next."""
        self.arrived_wrong = True
        self._here = {}
        os.ftruncate(self._data, 0)
        self._rewrite()

    def keep(self) -> None:
        """Make it the target, by one rename."""
        os.fsync(self._data)
        self.path.replace(self._target)
        self._pieces.unlink()
        sync_folder(self._target.parent)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._pieces.unlink(missing_ok=True)

    @property
    def _identity(self) -> str:
        return f"{self._digest} {self.size} {PIECE}"

    def _rewrite(self) -> None:
        lines = [f"{self._identity}\n".encode(), *([f"{_WRONG}\n".encode()] if self.arrived_wrong else [])]
        write_atomically(self._pieces, b"".join([*lines, *(_line(*piece) for piece in self._here.items())]))
        self._lines = self._opened(self._pieces, os.O_WRONLY | os.O_APPEND)

    def _opened(self, path: Path, flags: int) -> int:
        handle = os.open(path, flags | os.O_CLOEXEC, 0o644)
        self._open.callback(os.close, handle)
        return handle


def sweep(folder: Path, targets: Container[Path]) -> list[Path]:
    """Remove what is left below `folder` of files that are none of `targets`, which it answers.

    Only where both names and the first line are such as `Partial` gives: whatever else lies there is somebody's.
    """
    swept = []
    for pieces in sorted(folder.rglob(".*.part.pieces")):
        data = pieces.with_suffix("")
        target = pieces.with_name(data.name[1:].removesuffix(".part"))
        is_ours = _IDENTITY.fullmatch(_text(pieces).partition("\n")[0]) and not (
            pieces.is_symlink() or data.is_symlink()
        )
        if is_ours and target not in targets:
            data.unlink(missing_ok=True)
            pieces.unlink()
            swept.append(target)
    return swept


def has_digest(path: Path, digest: str, advance: Callable[[int], None]) -> bool:
    """digest: a SHA-256, or the shorter SHA-1 by which git names a blob."""
    return (sha256(path, advance) if len(digest) == 64 else git_sha1(path)) == digest


def _line(index: int, checksum: int) -> bytes:
    return f"{index} {checksum:08x}\n".encode()


def _parse(line: str) -> tuple[int, int] | None:
    """A piece and its checksum; None for a line that was never finished."""
    try:
        index, checksum = line.split(" ")
        return int(index), int(checksum, 16)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
