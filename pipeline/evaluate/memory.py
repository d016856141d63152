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

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Of both versions of control groups: where the memory controller lies, the limit, what is used, and what of that is
# only cache, which gives way.
_VERSIONS = (
    ("", "memory.max", "memory.current", r"^inactive_file (\d+)"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", r"^total_inactive_file (\d+)"),
)


def available() -> int:
    """Bytes: the least of what the machine has left (on macOS: of all it has) and of every limit on this process."""
    return max(0, min(_limits()))


def _limits() -> Iterator[int]:
    found = _number(Path("/proc/meminfo"), r"MemAvailable:\s+(\d+) kB")
    yield found * 1024 if found is not None else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for kind, taken in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft - 1024 * (_number(Path("/proc/self/status"), rf"{taken}:\s+(\d+) kB") or 0)
    yield from _of_groups()
    if sys.platform == "darwin":
        import mlx.core as mx

        recommended = mx.device_info().get("max_recommended_working_set_size")
        if isinstance(recommended, int):
            yield recommended


def _of_groups() -> Iterator[int]:
    """What the process's own control group, and each one around it, still allows."""
    for controller, most, used, cache in _VERSIONS:
        top = _GROUPS / controller
        own = _read(_OWN, rf"^\d+:{controller}:/(.*)$")
        for folder in (top / own, *(top / own).parents) if own is not None else (top,):
            limit = _number(folder / most, r"^(\d+)")
            if limit is not None:
                spare = _number(folder / "memory.stat", cache) or 0
                yield limit - (_number(folder / used, r"^(\d+)") or 0) + spare
            if folder == top:
                break


def _number(path: Path, pattern: str) -> int | None:
    found = _read(path, pattern)
    return None if found is None else int(found)


def _read(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None
