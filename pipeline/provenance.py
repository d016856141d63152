"""By what and on what something was made: versions and the machine; nothing that names a person or a host."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.manifest import Json

_PACKAGES = ("mlx", "mlx-lm", "huggingface_hub", "transformers", "numpy", "pipeline")


def tools() -> dict[str, str]:
    """Package name to version, Python's own included; loads none of them."""
    return {"python": platform.python_version(), **{package: metadata.version(package) for package in _PACKAGES}}


def machine() -> dict[str, Json]:
    """The chip, its cores, memory in bytes, and the operating system, in the order in which people say them."""
    return {
        "chip": _chip(),
        "cores": os.cpu_count() or 1,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": _system(),
        "architecture": platform.machine(),
    }


def _chip() -> str:
    if platform.system() == "Darwin":
        return _sysctl("machdep.cpu.brand_string")
    described = Path("/proc/cpuinfo")
    for line in described.read_text().splitlines() if described.exists() else ():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _system() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, kernel {platform.release().partition('-')[0]}"


def _sysctl(name: str) -> str:
    asked = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"
