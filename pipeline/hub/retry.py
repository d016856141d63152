"""Any Hub, with patience: passing failures are asked again, refusals are not, and no call lasts for ever."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_base, wait_random_exponential

from pipeline.errors import BlobsGone, HubError, HubRefused, Overtaken
from pipeline.hub import doubt
from pipeline.hub.deadline import SILENCE, SLOWEST, within
from pipeline.hub.progress import Progress
from pipeline.hub.protocol import SURELY_LARGE, Upload, untold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.hub.protocol import Advance, Commit, Copy, Hub, Repository, Storage
    from pipeline.manifest import File, Manifest

T = TypeVar("T")

NO_WAITING = "PIPELINE_NO_WAITING"
"""Set in the environment, nobody sleeps between two attempts; for tests."""


class _Wait(wait_base):
    """Exponential with jitter, but never less than the Hub asked for."""

    def __init__(self, longest: float) -> None:
        self._jitter = wait_random_exponential(multiplier=1, max=longest)

    def __call__(self, retry_state: RetryCallState) -> float:
        return max(self._jitter(retry_state), _asked(retry_state))


class Patient:
    """`pipeline.hub.protocol.Hub` over another one.

    attempts, seconds: when either is used up, or would be after the next wait, the last failure is raised. Transfers
    have more seconds, by their size.
    longest_wait: seconds between two attempts at most, unless the Hub asks for more.
    call_seconds: how long one attempt may last, and how long a transfer that has told of its progress may be silent.
    told: hears of every failure that is asked again, and how long it waits.
    hint: what to do when patience ends, where there is nothing that the same command would go on with.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        attempts: int = 8,
        seconds: float = 1800,
        longest_wait: float = 60,
        call_seconds: float = SILENCE,
        told: Callable[[str], None] = lambda _: None,
        hint: str = "",
    ) -> None:
        self._hub = hub
        self._attempts = attempts
        self._seconds = seconds
        self._longest_wait = longest_wait
        self._call_seconds = call_seconds
        self._told = told
        self._hint = hint

    @property
    def endpoint(self) -> str:
        return self._hub.endpoint

    def whoami(self) -> str:
        return self._call("ask whose token this is", self._hub.whoami)

    def check_writable(self, repository: Repository) -> None:
        self._call(f"look whether {repository} can be written", lambda: self._hub.check_writable(repository))

    def head(self, repository: Repository, revision: str = "main") -> str | None:
        return self._call(f"look at {repository}", lambda: self._hub.head(repository, revision))

    def manifest(self, repository: Repository, revision: str) -> Manifest:
        return self._call(f"list the files of {repository}", lambda: self._hub.manifest(repository, revision))

    def history(self, repository: Repository, revision: str) -> Sequence[Commit]:
        return self._call(f"read the history of {repository}", lambda: self._hub.history(repository, revision))

    def tags(self, repository: Repository) -> Mapping[str, str]:
        return self._call(f"list the tags of {repository}", lambda: self._hub.tags(repository))

    def storage(self, repository: Repository) -> Storage:
        return self._call(f"look how much {repository} holds", lambda: self._hub.storage(repository))

    def read(self, repository: Repository, revision: str, path: str, start: int, length: int) -> bytes:
        return self._call(
            f"read {path} of {repository}", lambda: self._hub.read(repository, revision, path, start, length)
        )

    def download(self, repository: Repository, revision: str, file: File, target: Path, advance: Advance) -> None:
        """Patience begins anew whenever bytes arrived: a file of many hours outlives any number of dropped lines.

        Not in a thread of its own: one that was given up would still write to `target`. It ends itself when it is
        silent or too slow, and what is too slow again and again ends when its bytes have had their time.
        """
        counted = Progress(advance)
        attempt = counted.attempt(lambda tell: self._hub.download(repository, revision, file, target, tell))
        ends = time.monotonic() + self._seconds + _transfer(file.size)
        while True:
            arrived = counted.arrived
            try:
                return self._again(attempt, _transfer(file.size), counted.sleep)
            except HubRefused:
                raise
            except HubError:
                if counted.arrived == arrived or time.monotonic() >= ends:
                    raise

    def create(self, repository: Repository) -> None:
        self._call(f"create {repository}", lambda: self._hub.create(repository))

    def is_private(self, repository: Repository) -> bool:
        return self._call(f"look at {repository}", lambda: self._hub.is_private(repository))

    def make_public(self, repository: Repository) -> None:
        self._call(f"make {repository} public", lambda: self._hub.make_public(repository))

    def validate_card(self, card: str) -> None:
        self._call("let the Hub check the model card", lambda: self._hub.validate_card(card))

    def missing(self, repository: Repository, uploads: Sequence[Upload]) -> Sequence[Upload]:
        return self._call(f"ask what {repository} has to be sent", lambda: self._hub.missing(repository, uploads))

    def preupload(self, repository: Repository, upload: Upload, advance: Callable[[int], None]) -> None:
        counted = Progress(advance)
        attempt = counted.attempt(lambda tell: self._hub.preupload(repository, upload, tell))
        action, longest = f"upload {upload.file.path} to {repository}", _transfer(upload.file.size)

        def send() -> None:
            within(
                self._call_seconds + longest,
                action,
                attempt,
                silence=self._call_seconds,
                heard=lambda: counted.told,
                give_up=counted.end,
            )

        try:
            self._again(send, longest, counted.sleep)
        finally:
            counted.end()

    def commit(
        self,
        repository: Repository,
        uploads: Sequence[Upload | Copy],
        deletes: Sequence[str],
        *,
        parent: str,
        message: str,
    ) -> str:
        """Large files that the Hub lacks are sent before it, within the limits of a transfer.

        Whenever it is open whether the commit was made, the repository itself is asked before anything is sent.
        """
        mine = [upload for upload in uploads if isinstance(upload, Upload)]
        for upload in self.missing(repository, mine):
            self.preupload(repository, upload, untold)
        longest = _transfer(sum(upload.file.size for upload in mine if upload.file.size <= SURELY_LARGE))

        def send() -> str:
            return self._hub.commit(repository, uploads, deletes, parent=parent, message=message)

        def attempt() -> str:
            try:
                return within(self._call_seconds + longest, f"commit to {repository}", send)
            except BlobsGone:
                raise
            except HubError as failure:
                if isinstance(failure, HubRefused) and not isinstance(failure, Overtaken):
                    raise
                made = doubt.committed(self, repository, uploads, deletes, parent)
                if made is None and isinstance(failure, Overtaken):
                    raise HubError(str(failure), hint=failure.hint) from failure  # nobody did: the head is still there
                if made is None:
                    raise
                return made

        return self._again(attempt, longest)

    def tag(self, repository: Repository, name: str, commit: str) -> None:
        def attempt() -> None:
            try:
                within(self._call_seconds, f"tag {repository}", lambda: self._hub.tag(repository, name, commit))
            except HubError:
                if self.tags(repository).get(name) != commit:
                    raise

        self._again(attempt)

    def untag(self, repository: Repository, name: str) -> None:
        self._call(f"remove the tag {name} of {repository}", lambda: self._hub.untag(repository, name))

    def address(self, repository: Repository, revision: str | None = None) -> str:
        return self._hub.address(repository, revision)

    def _call(self, action: str, call: Callable[[], T]) -> T:
        return self._again(lambda: within(self._call_seconds, action, call))

    def _again(
        self, attempt: Callable[[], T], more_seconds: float = 0, sleep: Callable[[float], None] | None = None
    ) -> T:
        retrying = Retrying(
            retry=retry_if_exception(_passes),
            stop=stop_after_attempt(self._attempts) | stop_before_delay(self._seconds + more_seconds),
            wait=_Wait(self._longest_wait),
            sleep=_no_sleep if NO_WAITING in os.environ else sleep or time.sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except HubError as failure:
            if self._hint and _passes(failure):
                wait = f"The Hub asks to wait {failure.retry_after:.0f} s. " if failure.retry_after else ""
                failure.hint = f"{wait}{self._hint}"
            raise

    def _tell(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        why = ", as the Hub asks" if _asked(state) and state.upcoming_sleep == _asked(state) else ""
        self._told(
            f"{failure}; asking again in {state.upcoming_sleep:.0f} s{why} "
            f"(attempt {state.attempt_number + 1} of {self._attempts})"
        )


def _passes(error: BaseException) -> bool:
    return isinstance(error, HubError) and not isinstance(error, HubRefused | BlobsGone)


def _asked(state: RetryCallState) -> float:
    """Seconds that the Hub asked to wait."""
    failure = state.outcome.exception() if state.outcome else None
    return (failure.retry_after or 0.0) if isinstance(failure, HubError) else 0.0


def _transfer(size: int) -> float:
    return size / SLOWEST


def _no_sleep(_seconds: float) -> None:
    pass
