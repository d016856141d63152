"""A call that is given up when its time is over, whatever it waits for: some of the client's calls cannot be told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SILENCE = 600.0
"""Seconds that one call may take, and a transfer be without progress."""
SLOWEST = 50_000
"""Bytes a second; a transfer may take as much longer as its bytes need at this rate."""
_FAREWELL = 3.0  # seconds in which a call that was told to end should have done so


def within(
    seconds: float,
    action: str,
    call: Callable[[], T],
    *,
    silence: float | None = None,
    heard: Callable[[], float | None] = lambda: None,
    give_up: Callable[[], None] | None = None,
) -> T:
    """What `call` returns or raises; `HubError`, saying that it was to `action`, when that takes longer.

    silence: seconds after which it is given up earlier, counted from the last sign of life or from its start; `heard`
    knows when that sign was, by `time.monotonic`, and None as long as there was none.
    give_up: tells the call to end, which is then waited for a little, so that it does not go on beside the next one.

    It runs in a thread of its own, since Python cannot stop one. A call that was given up may still do its work later,
    so whoever calls has to look before asking again.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    started = time.monotonic()
    thread = threading.Thread(target=run, name="hub-call", daemon=True)
    thread.start()
    while True:
        last = heard() or started
        ends = min(started + seconds, last + (seconds if silence is None else silence))
        if wait([outcome], max(0.0, ends - time.monotonic())).done:
            return outcome.result()
        now = time.monotonic()
        if now >= started + seconds or (heard() or started) == last:
            if give_up:
                give_up()
                thread.join(_FAREWELL)
            raise _given_up(action, now - last)


class Limit:
    """The time that a transfer of `size` bytes may take, for one that can end itself."""

    def __init__(self, action: str, size: int) -> None:
        self._action = action
        self._started = self._last = time.monotonic()
        self._ends = self._started + SILENCE + size / SLOWEST

    def check(self, amount: int) -> None:
        """`HubError` when there was no progress for too long, or too little of it; now there were `amount` bytes."""
        now = time.monotonic()
        if amount:
            self._last = now
        if now >= self._ends or now >= self._last + SILENCE:
            raise _given_up(self._action, now - (self._started if now >= self._ends else self._last))


def _given_up(action: str, seconds: float) -> HubError:
    return HubError(
        f"cannot {action}: there was no answer within {seconds:.0f} s",
        hint="Run the same command again: it goes on where it stopped.",
    )
