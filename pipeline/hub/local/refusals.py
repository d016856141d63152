"""Every answer other than success, with the status and the error code that the real Hub sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import HubRefused

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(HubRefused):
    """`status` is the HTTP status; `code`, unless empty, the `X-Error-Code` by which the client picks an exception."""

    status = 400
    code = ""


class NotAuthenticated(Refusal):
    status = 401


class ReadOnly(Refusal):
    status = 403


class BadSignature(Refusal):
    status = 403


class NotInScope(Refusal):
    status = 403


class NotFound(Refusal):
    status = 404


class RepositoryNotFound(Refusal):
    status = 404
    code = "RepoNotFound"


class RevisionNotFound(Refusal):
    status = 404
    code = "RevisionNotFound"


class EntryNotFound(Refusal):
    """`headers` go with the answer: the client notes at which commit a file is known to be missing."""

    status = 404
    code = "EntryNotFound"

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})


class AlreadyExists(Refusal):
    """`url` is where the existing thing is; the client reads it from the answer to a second create."""

    status = 409

    def __init__(self, message: str, *, url: str = "") -> None:
        super().__init__(message)
        self.url = url


class HeadMoved(Refusal):
    status = 412


class NotSatisfiable(Refusal):
    status = 416
