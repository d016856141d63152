"""A call that is given up when its time is over, whatever it waits for: some of the client's calls cannot be told."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def within(seconds: float, action: str, call: Callable[[], T]) -> T:
    """What `call` returns or raises; `HubError`, saying that it was to `action`, when that takes longer.

    It runs in a thread of its own, since Python cannot stop one. A call that was given up may still do its work later,
    so whoever calls has to look before asking again.
    """
    outcome: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.put((None, error))

    threading.Thread(target=run, name="hub-call", daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise HubError(
            f"cannot {action}: there was no answer within {seconds:.0f} s",
            hint="Run the same command again: it goes on where it stopped.",
        ) from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
