"""On which Macs the model runs, by the number of tokens that it has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card import figures
from pipeline.card.escape import Markdown
from pipeline.release.macs import GIB, MACS, SMALL, raised, smallest_mac, smallest_raised, usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.lock import ContextMemory, Lock

_COLUMNS = 4
FITS, RAISE, NO = "fits", "raise the limit", "no"


@dataclass(frozen=True)
class WillItRun:
    """macs: bytes of memory of the Macs in the table, rising; empty when it is too large for all of them.

    always: the smallest on which every length fits as macOS is delivered; None when there is none.
    """

    needs: Sequence[ContextMemory]
    macs: tuple[int, ...]
    always: int | None

    @property
    def headings(self) -> tuple[str, ...]:
        return ("Tokens read", "Weights and cache", *(self._heading(mac) for mac in self.macs))

    @property
    def rows(self) -> tuple[tuple[object, ...], ...]:
        return tuple(
            (
                figures.grouped(row.context),
                figures.byte_size(row.bytes),
                *(_answer(mac, row.bytes) for mac in self.macs),
            )
            for row in self.needs
        )

    @property
    def limits(self) -> tuple[tuple[str, str], ...]:
        """Of the Macs whose limit has to be raised: their memory, and the limit in MB that the table means."""
        raising = (mac for mac in self.macs if any(_answer(mac, row.bytes) == RAISE for row in self.needs))
        return tuple((f"{mac // GIB} GB", str(raised(mac) >> 20)) for mac in raising)

    @property
    def small(self) -> str:
        """The memory up to which a Mac's GPU may use the smaller share."""
        return f"{SMALL // GIB} GB"

    def _heading(self, mac: int) -> str:
        """Where it does not run at all, neither does it on any smaller one."""
        smaller = mac > MACS[0] and all(_answer(mac, row.bytes) == NO for row in self.needs)
        return f"Mac with {mac // GIB} GB{' or less' if smaller else ''}"

    @property
    def verdict(self) -> str:
        """Where it runs, as a part of a sentence; empty when that cannot be known."""
        if not self.needs:
            return ""
        longest = f"up to {figures.grouped(self.needs[-1].context)} tokens"
        if self.always:
            return f"runs on a Mac with {self.always // GIB} GB of memory, {longest} read"
        if mac := smallest_raised(self.needs[-1].bytes):
            return f"runs on a Mac with {mac // GIB} GB of memory when its limit is raised, {longest} read"
        return "is larger than the memory of any Mac" if not self.macs else "runs on a Mac only with a short context"


def read(lock: Lock) -> WillItRun:
    needs = sorted(lock.memory, key=lambda row: row.context)
    if not needs:
        return WillItRun((), (), None)
    first = smallest_raised(needs[0].bytes)
    always = smallest_mac(needs[-1].bytes)
    if first is None:
        return WillItRun(needs, (), None)
    start = max(0, MACS.index(first) - 1)
    stop = MACS.index(always) + 1 if always else len(MACS)
    wanted = MACS[start:stop]
    return WillItRun(needs, wanted if len(wanted) <= _COLUMNS else (*wanted[: _COLUMNS - 1], wanted[-1]), always)


def _answer(mac: int, nbytes: int) -> str:
    if nbytes <= usable(mac):
        return Markdown(f"**{FITS}**")
    return RAISE if nbytes <= raised(mac) else NO
