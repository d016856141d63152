"""By what and on what something was made: versions, the machine, the commit; nothing that names a person or a host."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.manifest import Json

# What git knows a commit by: names, hashes, `HEAD~2`, `v1^`, `main@{1}`.
_REVISION = re.compile(r"[^\s\W_][^\s\x00-\x1f:\\?*\[]*|@")
_ORDINARY = {0o100644, 0o100755}
_LARGEST = 32_000_000
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


def repository_commit(root: Path) -> tuple[str | None, bool]:
    """The commit that the tree at `root` stands on, and whether files differ from it; (None, False) outside git."""
    from git import InvalidGitRepositoryError, Repo

    try:
        with Repo(root, search_parent_directories=True) as repository:
            commit = repository.head.commit.hexsha if repository.head.is_valid() else None
            return commit, repository.is_dirty(untracked_files=True)
    except InvalidGitRepositoryError:
        return None, False


def committed_files(root: Path, revision: str, folder: str) -> tuple[str, dict[str, bytes]] | None:
    """The commit that `revision` names, and all ordinary files that it holds in `folder` of the tree at `root`.

    None where there is no such commit, or no git. Paths are relative to `folder`; links and large files are left out.
    """
    from git import BadName, Blob, GitCommandError, InvalidGitRepositoryError, Repo

    # A revision is never taken for an option, and a path or a range is none.
    if not _REVISION.fullmatch(revision):
        return None
    try:
        with Repo(root, search_parent_directories=True) as repository:
            name = str(repository.git.rev_parse("--verify", "--quiet", f"{revision}^{{commit}}"))
            commit = repository.commit(name)
            inside = root.resolve().relative_to(Path(repository.working_tree_dir or root).resolve())
            try:
                tree = commit.tree.join((inside / folder).as_posix())
            except KeyError:
                return commit.hexsha, {}
            found = {
                str(blob.path)[len(str(tree.path)) + 1 :]: blob.data_stream.read()
                for blob in tree.traverse()
                if isinstance(blob, Blob) and blob.mode in _ORDINARY and blob.size <= _LARGEST
            }
            return commit.hexsha, found
    except (InvalidGitRepositoryError, GitCommandError, BadName, ValueError):
        return None


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
