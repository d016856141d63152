"""The memory that Macs are sold with, and how much of it their GPU may use."""

from __future__ import annotations

GIB = 1 << 30
MACS = tuple(size * GIB for size in (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512))
"""What the shop calls 512 GB are GiB."""

SMALL = 32 * GIB
_SYSTEM = 4 * GIB


def usable(mac: int) -> int:
    """Bytes that macOS lets the GPU use as it is delivered: two thirds up to 32 GB, three quarters above."""
    return mac * 2 // 3 if mac <= SMALL else mac * 3 // 4


def raised(mac: int) -> int:
    """Bytes to which `iogpu.wired_limit_mb` may raise that: nine tenths, with 4 GiB or more left to the system."""
    return max(usable(mac), min(mac * 9 // 10, mac - _SYSTEM))


def smallest_mac(nbytes: int) -> int | None:
    """The memory of the smallest Mac whose GPU may use that much as it is delivered; None when there is none."""
    return next((mac for mac in MACS if usable(mac) >= nbytes), None)


def smallest_raised(nbytes: int) -> int | None:
    """The same where the limit is raised."""
    return next((mac for mac in MACS if raised(mac) >= nbytes), None)
