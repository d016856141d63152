"""Any Hub, looked at only: what a dry run is given, so that no writing request can leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.hub.protocol import Advance, Commit, Copy, Hub, Repository, Storage, Upload
    from pipeline.manifest import File, Manifest


class ReadOnly:
    """`pipeline.hub.protocol.Hub` over another one; whatever would write is a bug and raises AssertionError."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def endpoint(self) -> str:
        return self._hub.endpoint

    def whoami(self) -> str:
        return self._hub.whoami()

    def check_writable(self, repository: Repository) -> None:
        self._hub.check_writable(repository)

    def head(self, repository: Repository, revision: str = "main") -> str | None:
        return self._hub.head(repository, revision)

    def manifest(self, repository: Repository, revision: str) -> Manifest:
        return self._hub.manifest(repository, revision)

    def history(self, repository: Repository, revision: str) -> Sequence[Commit]:
        return self._hub.history(repository, revision)

    def tags(self, repository: Repository) -> Mapping[str, str]:
        return self._hub.tags(repository)

    def storage(self, repository: Repository) -> Storage:
        return self._hub.storage(repository)

    def read(self, repository: Repository, revision: str, path: str, start: int, length: int) -> bytes:
        return self._hub.read(repository, revision, path, start, length)

    def download(self, repository: Repository, revision: str, file: File, target: Path, advance: Advance) -> None:
        self._hub.download(repository, revision, file, target, advance)

    def create(self, repository: Repository) -> None:
        _refuse(f"create {repository}")

    def is_private(self, repository: Repository) -> bool:
        return self._hub.is_private(repository)

    def make_public(self, repository: Repository) -> None:
        _refuse(f"make {repository} public")

    def validate_card(self, card: str) -> None:
        self._hub.validate_card(card)

    def missing(self, repository: Repository, uploads: Sequence[Upload]) -> Sequence[Upload]:
        _refuse(f"ask what {repository} has to be sent")

    def preupload(self, repository: Repository, upload: Upload, advance: Callable[[int], None]) -> None:
        _refuse(f"upload {upload.file.path} to {repository}")

    def commit(
        self,
        repository: Repository,
        uploads: Sequence[Upload | Copy],
        deletes: Sequence[str],
        *,
        parent: str,
        message: str,
    ) -> str:
        _refuse(f"commit to {repository}")

    def tag(self, repository: Repository, name: str, commit: str) -> None:
        _refuse(f"tag {repository} as {name}")

    def untag(self, repository: Repository, name: str) -> None:
        _refuse(f"remove the tag {name} of {repository}")

    def address(self, repository: Repository, revision: str | None = None) -> str:
        return self._hub.address(repository, revision)


def _refuse(action: str) -> NoReturn:
    raise AssertionError(f"a dry run was about to {action}")
