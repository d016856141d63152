"""How far a transfer has come, over all of its attempts: what comes a second time is no progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.hub.protocol import Advance


class Progress:
    """Bytes of a transfer, each of which `advance` is told of once, however many attempts there are.

    An attempt that was given up ends when it next tells of anything. `told` is when the present one last told of bytes.
    """

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance = advance
        self.told: float | None = None
        self._furthest = 0
        self.arrived = 0
        self._current = 0

    def attempt(self, call: Callable[[Advance], None]) -> Callable[[], None]:
        def run() -> None:
            self._current += 1
            self.told = None
            mine, so_far = self._current, 0

            def tell(amount: int, /, *, resumed: bool = False) -> None:
                nonlocal so_far
                if mine != self._current:
                    raise HubError("this attempt was given up")
                if amount:
                    self.told = time.monotonic()
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

    def sleep(self, seconds: float) -> None:
        """In short naps, so that a run that is stopped need not wait for the end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._advance(0)
            time.sleep(min(left, 0.5))

    def end(self) -> None:
        self._current += 1
