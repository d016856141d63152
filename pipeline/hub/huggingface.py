"""The Hub through its own client: huggingface.co and every server that speaks its protocol."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub import CommitOperationDelete, HfApi
from huggingface_hub._commit_api import _fetch_upload_modes
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.lfs import post_lfs_batch_info
from huggingface_hub.utils import build_hf_headers, get_session, get_token, hf_raise_for_status

from pipeline.errors import HubError, HubRefused
from pipeline.hub import client, lfs_process, xet
from pipeline.hub.account import check_may_create, is_free
from pipeline.hub.additions import Addition, addition, operation
from pipeline.hub.download import download
from pipeline.hub.failures import translated
from pipeline.hub.protocol import SURELY_LARGE, Commit, Storage, Upload, untold
from pipeline.hub.remote import RangesIgnored, RemoteFile
from pipeline.manifest import File, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.hub.protocol import Advance, Copy, Repository

_XET_ATTEMPTS = 3
_BATCH = 256

client.install()


class HuggingFace:
    """`pipeline.hub.protocol.Hub` by `huggingface_hub`; one attempt a call, retries are `pipeline.hub.retry`'s.

    token: None takes the client's own: where HF_OIDC_RESOURCE is set, one of a Trusted Publisher that it asks for anew
    before it expires; else HF_TOKEN, or the file that `hf auth login` writes.
    shown: the address that people are told instead of the endpoint.
    """

    def __init__(self, endpoint: str, token: str | None = None, *, shown: str | None = None) -> None:
        self.endpoint = endpoint
        self._token = token
        self._shown = shown or endpoint
        self._api = HfApi(endpoint=endpoint, token=token)
        self._attempts: Counter[str] = Counter()

    def whoami(self) -> str:
        with translated("ask whose token this is"):
            trusted = os.environ.get("HF_OIDC_RESOURCE")
            if trusted and self._token is None:
                get_token()  # such a token belongs to no account
                return f"the Trusted Publisher of {trusted}"
            return str(self._api.whoami()["name"])

    def check_writable(self, repository: Repository) -> None:
        with translated(f"look whether {repository} can be written"):
            try:
                self._api.auth_check(repository.id, repo_type=repository.kind, write=True)
            except RepositoryNotFoundError:
                account = self._api.whoami()
            else:
                return
        check_may_create(repository, account)

    def head(self, repository: Repository, revision: str = "main") -> str | None:
        with translated(f"look at {repository}"):
            try:
                sha = self._api.repo_info(repository.id, repo_type=repository.kind, revision=revision).sha
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return None
        return str(sha)

    def manifest(self, repository: Repository, revision: str) -> Manifest:
        with translated(f"list the files of {repository} at {revision}"):
            entries = self._api.list_repo_tree(
                repository.id, repo_type=repository.kind, revision=revision, recursive=True
            )
            return Manifest(tuple(_file(entry) for entry in entries if isinstance(entry, RepoFile)))

    def history(self, repository: Repository, revision: str) -> Sequence[Commit]:
        with translated(f"read the history of {repository}"):
            commits = self._api.list_repo_commits(repository.id, repo_type=repository.kind, revision=revision)
            return [
                Commit(commit.commit_id, ", ".join(commit.authors), commit.created_at, commit.title)
                for commit in commits
            ]

    def tags(self, repository: Repository) -> Mapping[str, str]:
        with translated(f"list the tags of {repository}"):
            refs = self._api.list_repo_refs(repository.id, repo_type=repository.kind)
            return {tag.name: tag.target_commit for tag in refs.tags}

    def storage(self, repository: Repository) -> Storage:
        with translated(f"look how much {repository} holds"):
            ask = self._api.model_info if repository.kind == "model" else self._api.dataset_info
            info = ask(repository.id, expand=["usedStorage", "private"])
            trusted = os.environ.get("HF_OIDC_RESOURCE") and self._token is None
            account = {} if trusted else self._api.whoami()  # the token of a Trusted Publisher belongs to no account
        return Storage(info.used_storage, bool(info.private), is_free(repository, account))

    def read(self, repository: Repository, revision: str, path: str, start: int, length: int) -> bytes:
        content = b""
        with (
            contextlib.suppress(RangesIgnored),
            self._remote(repository, revision, path).stream(start, start + length, None) as response,
        ):
            content = response.read()
        if len(content) != length:
            raise HubError(f"the Hub sent {len(content)} of {length} bytes of {path} in {repository}")
        return content

    def download(self, repository: Repository, revision: str, file: File, target: Path, advance: Advance) -> None:
        download(self._remote(repository, revision, file.path), file, target, advance)

    def create(self, repository: Repository) -> None:
        with translated(f"create {repository}"):
            self._api.create_repo(repository.id, repo_type=repository.kind, private=True, exist_ok=True)

    def is_private(self, repository: Repository) -> bool:
        with translated(f"look at {repository}"):
            return bool(self._api.repo_info(repository.id, repo_type=repository.kind).private)

    def make_public(self, repository: Repository) -> None:
        with translated(f"make {repository} public"):
            self._api.update_repo_settings(repository.id, repo_type=repository.kind, private=False)

    def validate_card(self, card: str) -> None:
        with translated("let the Hub check the model card"):
            response = get_session().post(
                f"{self.endpoint}/api/validate-yaml",
                json={"repoType": "model", "content": card},
                headers=build_hf_headers(token=self._token),
            )
            if response.status_code != httpx2.codes.BAD_REQUEST:
                hf_raise_for_status(response)
            errors = [str(error["message"]) for error in response.json().get("errors", [])]
        if errors:
            raise HubRefused(
                "the Hub does not accept the card's front matter: " + "; ".join(errors),
                hint="Correct what the card is made from: release.yaml, or the base model's own card.",
            )

    def missing(self, repository: Repository, uploads: Sequence[Upload]) -> Sequence[Upload]:
        with translated(f"ask what {repository} has to be sent"):
            large = [each.upload for each in self._large(repository, [addition(upload) for upload in uploads])]
            held = self._held(repository, large)
        return [upload for upload in large if upload.file.sha256 not in held]

    def preupload(self, repository: Repository, upload: Upload, advance: Callable[[int], None]) -> None:
        with translated(f"upload {upload.file.path} to {repository}"):
            if not xet.is_available():
                self._api.preupload_lfs_files(
                    repository.id, [addition(upload, advance)], repo_type=repository.kind, num_threads=1
                )
            elif self._held(repository, [upload]):
                advance(upload.file.size)
            else:
                self._send(repository, upload, advance)

    def commit(
        self,
        repository: Repository,
        uploads: Sequence[Upload | Copy],
        deletes: Sequence[str],
        *,
        parent: str,
        message: str,
    ) -> str:
        operations = [operation(upload) for upload in uploads]
        removals = [CommitOperationDelete(path, is_folder=False) for path in deletes]
        with translated(f"commit to {repository}"):
            if xet.is_available():
                self._send_large(repository, [each for each in operations if isinstance(each, Addition)])
            commit = self._api.create_commit(
                repository.id,
                [*operations, *removals],
                commit_message=message,
                repo_type=repository.kind,
                parent_commit=parent,
            )
            return str(commit.oid)

    def tag(self, repository: Repository, name: str, commit: str) -> None:
        with translated(f"tag {repository} as {name}"):
            self._api.create_tag(repository.id, tag=name, revision=commit, repo_type=repository.kind)

    def untag(self, repository: Repository, name: str) -> None:
        with translated(f"remove the tag {name} of {repository}"), contextlib.suppress(RevisionNotFoundError):
            self._api.delete_tag(repository.id, tag=name, repo_type=repository.kind)

    def address(self, repository: Repository, revision: str | None = None) -> str:
        return f"{self._shown}/{repository}" + (f"/tree/{revision}" if revision else "")

    def _send_large(self, repository: Repository, additions: Sequence[Addition]) -> None:
        """Leave the client nothing to send but the commit: it knows one way, and would divide again what is there."""
        large = self._large(repository, additions)
        held = self._held(repository, [each.upload for each in large])
        for each in large:
            if each.upload.file.sha256 not in held:
                self._send(repository, each.upload, untold)
            each.mark_uploaded()

    def _large(self, repository: Repository, additions: Sequence[Addition]) -> list[Addition]:
        """Those that go to large-file storage; the Hub is asked where size does not say."""
        unclear = [each for each in additions if each.upload.file.size <= SURELY_LARGE]
        _fetch_upload_modes(
            unclear, repository.kind, repository.id, build_hf_headers(token=self._token), "main", self.endpoint
        )
        return [each for each in additions if each.upload.file.size > SURELY_LARGE or each.is_large]

    def _send(self, repository: Repository, upload: Upload, advance: Callable[[int], None]) -> None:
        """By Xet, or by the older way where that has failed too often, for this file or for small ones together."""
        counted = upload.file.sha256 if upload.file.size > SURELY_LARGE else "small"
        if self._attempts[counted] >= _XET_ATTEMPTS:
            lfs_process.upload(self.endpoint, self._token, repository, upload, advance)
            return
        self._attempts[counted] += 1
        xet.upload(self.endpoint, self._token, repository, upload, advance)
        del self._attempts[counted]

    def _held(self, repository: Repository, uploads: Sequence[Upload]) -> set[str]:
        """The SHA-256 of those of the large files whose bytes the Hub says that it holds already."""
        wanted = [addition(upload).upload_info for upload in uploads]
        held: set[str] = set()
        for start in range(0, len(wanted), _BATCH):
            objects, _, _ = post_lfs_batch_info(
                wanted[start : start + _BATCH],
                token=self._token,
                repo_type=repository.kind,
                repo_id=repository.id,
                endpoint=self.endpoint,
            )
            held |= {str(found["oid"]) for found in objects if "actions" not in found}
        return held

    def _remote(self, repository: Repository, revision: str, path: str) -> RemoteFile:
        return RemoteFile(self.endpoint, self._token, repository, revision, path)


def _file(entry: RepoFile) -> File:
    if entry.lfs:
        return File(entry.path, entry.size, sha256=entry.lfs.sha256)
    return File(entry.path, entry.size, git_sha1=entry.blob_id)
