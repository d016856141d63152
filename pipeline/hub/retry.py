"""Any Hub, with patience: passing failures are asked again, refusals are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_base, wait_random_exponential

from pipeline.errors import HubError, HubRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.hub.protocol import Advance, Hub, Repository, Upload
    from pipeline.manifest import File, Manifest

T = TypeVar("T")


class _Wait(wait_base):
    """Exponential with jitter, but never less than the Hub asked for."""

    def __init__(self, longest: float) -> None:
        self._jitter = wait_random_exponential(multiplier=1, max=longest)

    def __call__(self, retry_state: RetryCallState) -> float:
        failure = retry_state.outcome.exception() if retry_state.outcome else None
        asked = failure.retry_after if isinstance(failure, HubError) else None
        return max(self._jitter(retry_state), asked or 0.0)


class Patient:
    """`pipeline.hub.protocol.Hub` over another one.

    attempts, seconds: when either is used up, the last failure is raised.
    longest_wait: seconds between two attempts at most, unless the Hub asks for more.
    told: hears of every failure that is asked again.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        attempts: int = 8,
        seconds: float = 1800,
        longest_wait: float = 60,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._hub = hub
        self._attempts = attempts
        self._seconds = seconds
        self._longest_wait = longest_wait
        self._told = told

    @property
    def endpoint(self) -> str:
        return self._hub.endpoint

    def whoami(self) -> str:
        return self._again(self._hub.whoami)

    def head(self, repository: Repository, revision: str = "main") -> str | None:
        return self._again(lambda: self._hub.head(repository, revision))

    def manifest(self, repository: Repository, revision: str) -> Manifest:
        return self._again(lambda: self._hub.manifest(repository, revision))

    def tags(self, repository: Repository) -> Mapping[str, str]:
        return self._again(lambda: self._hub.tags(repository))

    def read(self, repository: Repository, revision: str, path: str, start: int, length: int) -> bytes:
        return self._again(lambda: self._hub.read(repository, revision, path, start, length))

    def download(self, repository: Repository, revision: str, file: File, target: Path, advance: Advance) -> None:
        """Patience begins anew whenever bytes arrived: a file of many hours outlives any number of dropped lines."""
        counted = _Once(advance)
        attempt = counted.attempt(lambda tell: self._hub.download(repository, revision, file, target, tell))
        while True:
            arrived = counted.arrived
            try:
                return self._again(attempt)
            except HubRefused:
                raise
            except HubError:
                if counted.arrived == arrived:
                    raise

    def create(self, repository: Repository) -> None:
        self._again(lambda: self._hub.create(repository))

    def make_public(self, repository: Repository) -> None:
        self._again(lambda: self._hub.make_public(repository))

    def validate_card(self, card: str) -> None:
        self._again(lambda: self._hub.validate_card(card))

    def preupload(self, repository: Repository, upload: Upload, advance: Callable[[int], None]) -> None:
        counted = _Once(advance)
        self._again(counted.attempt(lambda tell: self._hub.preupload(repository, upload, tell)))

    def commit(
        self, repository: Repository, uploads: Sequence[Upload], deletes: Sequence[str], *, parent: str, message: str
    ) -> str:
        """A lost answer leaves it open whether the commit was made: the repository itself is asked."""

        def attempt() -> str:
            try:
                return self._hub.commit(repository, uploads, deletes, parent=parent, message=message)
            except HubError:
                head = self._hub.head(repository)
                if head is not None and head != parent and self._holds(repository, head, uploads, deletes):
                    return head
                raise

        return self._again(attempt)

    def tag(self, repository: Repository, name: str, commit: str) -> None:
        def attempt() -> None:
            try:
                self._hub.tag(repository, name, commit)
            except HubError:
                if self._hub.tags(repository).get(name) != commit:
                    raise

        self._again(attempt)

    def address(self, repository: Repository, revision: str | None = None) -> str:
        return self._hub.address(repository, revision)

    def _holds(self, repository: Repository, commit: str, uploads: Sequence[Upload], deletes: Sequence[str]) -> bool:
        there = {file.path: file for file in self._hub.manifest(repository, commit)}
        return all(u.file.path in there and u.file.same_content(there[u.file.path]) for u in uploads) and not any(
            path in there for path in deletes
        )

    def _again(self, attempt: Callable[[], T]) -> T:
        return Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, HubError) and not isinstance(e, HubRefused)),
            stop=stop_after_attempt(self._attempts) | stop_after_delay(self._seconds),
            wait=_Wait(self._longest_wait),
            before_sleep=self._tell,
            reraise=True,
        )(attempt)

    def _tell(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        self._told(f"{failure}; asking again in {state.upcoming_sleep:.0f} s")


class _Once:
    """Counts bytes across attempts: what is sent or read a second time is no progress."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance = advance
        self._furthest = 0
        self.arrived = 0

    def attempt(self, call: Callable[[Advance], None]) -> Callable[[], None]:
        def run() -> None:
            so_far = 0

            def tell(amount: int, /, *, resumed: bool = False) -> None:
                nonlocal so_far
                so_far += amount
                new = max(0, so_far - self._furthest)
                self._furthest += new
                if resumed:
                    self._advance(new, resumed=True)
                else:
                    self.arrived += new
                    self._advance(new)

            call(tell)

        return run
