"""On which Macs the model runs, by the number of tokens that it has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card import figures
from pipeline.card.escape import Markdown
from pipeline.release.macs import GIB, MACS, RAISED, USABLE, smallest_mac

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
        return ("Tokens read", "Weights and cache", *(f"Mac with {mac // GIB} GB" for mac in self.macs))

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
        return tuple((f"{mac // GIB} GB", str(int(mac * RAISED) >> 20)) for mac in raising)

    @property
    def usable(self) -> str:
        return figures.percent(USABLE)

    @property
    def raised(self) -> str:
        return figures.percent(RAISED)

    @property
    def verdict(self) -> str:
        """Where it runs, as a part of a sentence; empty when that cannot be known."""
        if not self.needs:
            return ""
        longest = f"up to {figures.grouped(self.needs[-1].context)} tokens"
        if self.always:
            return f"runs on a Mac with {self.always // GIB} GB of memory, {longest} read"
        if raised := smallest_mac(self.needs[-1].bytes, RAISED):
            return f"runs on a Mac with {raised // GIB} GB of memory when its limit is raised, {longest} read"
        return "is larger than the memory of any Mac" if not self.macs else "runs on a Mac only with a short context"


def read(lock: Lock) -> WillItRun:
    needs = sorted(lock.memory, key=lambda row: row.context)
    if not needs:
        return WillItRun((), (), None)
    first = smallest_mac(needs[0].bytes, RAISED)
    always = smallest_mac(needs[-1].bytes)
    if first is None:
        return WillItRun(needs, (), None)
    start = max(0, MACS.index(first) - 1)
    stop = MACS.index(always) + 1 if always else len(MACS)
    return WillItRun(needs, MACS[start:stop][:_COLUMNS], always)


def _answer(mac: int, nbytes: int) -> str:
    if nbytes <= mac * USABLE:
        return Markdown(f"**{FITS}**")
    return RAISE if nbytes <= mac * RAISED else NO
