"""What the client is given to send and to commit: files whose digests are known, which tell how far they were read."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, BinaryIO, cast

from huggingface_hub import CommitOperationAdd, CommitOperationCopy

from pipeline.hub.protocol import Upload, untold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.hub.protocol import Copy


class Addition(CommitOperationAdd):
    """An addition that tells how many bytes of its file the client has read to send them."""

    upload: Upload
    advance: Callable[[int], None]

    @property
    def _should_ignore(self) -> bool:
        """Never, whatever a .gitignore of the repository says: the client would leave such files out in silence."""
        return False

    @_should_ignore.setter
    def _should_ignore(self, _: bool | None) -> None: ...

    @property
    def is_large(self) -> bool:
        """Whether the Hub wants it in large-file storage; it has to have been asked."""
        return self._upload_mode == "lfs"

    def mark_uploaded(self) -> None:
        """Let a commit name the file by its digest without looking at its bytes."""
        self._upload_mode = "lfs"
        self._is_uploaded = True

    @contextlib.contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
        if not with_tqdm:
            with super().as_file() as file:
                yield file
            return
        with _CountedFile(str(self.path_or_fileobj)) as counted:
            counted.advance = self.advance
            yield cast("BinaryIO", counted)


class _CountedFile(io.FileIO):
    advance: Callable[[int], None]

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self.advance(len(block))
        return block


def operation(upload: Upload | Copy) -> Addition | CommitOperationCopy:
    if isinstance(upload, Upload):
        return addition(upload)
    return CommitOperationCopy(upload.file.path, upload.file.path, src_revision=upload.commit)


def addition(upload: Upload, advance: Callable[[int], None] = untold) -> Addition:
    made = Addition(upload.file.path, upload.source)
    made.upload = upload
    made.advance = advance
    # Known since the file was written: the client would read all of it again to find out.
    made.upload_info.sha256 = bytes.fromhex(upload.file.sha256)
    return made
