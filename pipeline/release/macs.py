"""The memory that Macs are sold with, and how much of it their GPU may use."""

from __future__ import annotations

USABLE = 0.75
"""The share of a Mac's memory that the GPU may use; macOS grants more on some, and `iogpu.wired_limit_mb` raises it."""

RAISED = 0.9
"""The share up to which that limit is raised by people whose Mac runs little else; the system needs the rest."""

GIB = 1 << 30
MACS = tuple(size * GIB for size in (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512))
"""What the shop calls 512 GB are GiB."""


def smallest_mac(nbytes: int, share: float = USABLE) -> int | None:
    """The memory of the smallest Mac whose GPU may use that much; None when there is none."""
    return next((memory for memory in MACS if memory * share >= nbytes), None)
