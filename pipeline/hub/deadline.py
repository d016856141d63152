"""A call that is given up when its time is over, whatever it waits for: some of the client's calls cannot be told."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def within(
    seconds: float,
    action: str,
    call: Callable[[], T],
    *,
    silence: float | None = None,
    heard: Callable[[], float | None] = lambda: None,
) -> T:
    """What `call` returns or raises; `HubError`, saying that it was to `action`, when that takes longer.

    silence: seconds after which it is given up earlier, counted from the last sign of life; `heard` knows when that
    was, by `time.monotonic`, and None as long as there was none.

    It runs in a thread of its own, since Python cannot stop one. A call that was given up may still do its work later,
    so whoever calls has to look before asking again.
    """
    outcome: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.put((None, error))

    started = time.monotonic()
    threading.Thread(target=run, name="hub-call", daemon=True).start()
    while True:
        last, left = heard(), started + seconds - time.monotonic()
        if silence is not None:
            left = min(left, silence if last is None else last + silence - time.monotonic())
        try:
            result, error = outcome.get(timeout=max(0.0, left))
        except queue.Empty:
            now = time.monotonic()
            if now >= started + seconds or (last is not None and heard() == last):
                raise _given_up(action, now - (last or started)) from None
            continue
        if error is not None:
            raise error
        return result  # type: ignore[return-value]


def _given_up(action: str, seconds: float) -> HubError:
    return HubError(
        f"cannot {action}: there was no answer within {seconds:.0f} s",
        hint="Run the same command again: it goes on where it stopped.",
    )
