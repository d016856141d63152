"""How much memory a process may still take, as far as the system says."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def available() -> int:
    """Bytes: the least of what the machine has left and of every limit on this process."""
    return max(0, min(_limits()))


def _limits() -> Iterator[int]:
    found = _read(Path("/proc/meminfo"), r"MemAvailable:\s+(\d+) kB")
    yield found * 1024 if found is not None else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    taken = _taken()
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft - taken
    for most, used in _CGROUP_FILES:
        limit = _read(_CGROUP / most, r"(\d+)")
        if limit is not None:
            yield limit - (_read(_CGROUP / used, r"(\d+)") or 0)
    if sys.platform == "darwin":
        import mlx.core as mx

        recommended = mx.device_info().get("max_recommended_working_set_size")
        if isinstance(recommended, int):
            yield recommended


def _taken() -> int:
    """What this process has; on macOS its largest so far."""
    found = _read(Path("/proc/self/status"), r"VmRSS:\s+(\d+) kB")
    return found * 1024 if found is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _read(path: Path, pattern: str) -> int | None:
    try:
        found = re.search(pattern, path.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None
