from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.evaluate import memory

PROGRAM = """
import resource, sys
{limit}
from pipeline.evaluate.memory import available
print(available())
"""


def asked(limit: str = "") -> int:
    return int(subprocess.check_output([sys.executable, "-c", PROGRAM.format(limit=limit)], text=True))


def test_it_is_no_more_than_the_machine_has() -> None:
    import os

    assert 0 < asked() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_on_the_process_is_heeded(kind: str) -> None:
    limit = f"resource.setrlimit(resource.{kind}, (1 << 30, 1 << 30))"
    assert 0 < asked(limit) < 1 << 30


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        ("0::/", {"memory.max": "1000", "memory.current": "400"}, 600),
        ("0::/", {"memory.max": "1000", "memory.current": "4000"}, 0),
        ("0::/a/b", {"a/b/memory.max": "1000", "a/b/memory.current": "400", "a/memory.max": "500"}, 500),
        ("0::/a", {"a/memory.max": "max", "memory.max": "700"}, 700),
        (
            "0::/a",
            {"a/memory.max": "1000", "a/memory.current": "900", "a/memory.stat": "anon 5\ninactive_file 300\n"},
            400,
        ),
        (
            "3:memory:/a\n2:cpu:/",
            {"memory/a/memory.limit_in_bytes": "500", "memory/a/memory.usage_in_bytes": "100"},
            400,
        ),
        ("", {"memory/memory.limit_in_bytes": "500"}, 500),
    ],
)
def test_a_control_group_is_heeded(monkeypatch, tmp_path, own, files, left) -> None:
    _group(monkeypatch, tmp_path, own, files)
    assert memory.available() == left


def test_a_control_group_without_a_limit_is_none(monkeypatch, tmp_path) -> None:
    _group(monkeypatch, tmp_path, "0::/", {"memory.max": "max"})
    assert memory.available() > 1 << 20


def _group(monkeypatch, folder, own, files) -> None:
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    (folder / "own").write_text(f"{own}\n")
    monkeypatch.setattr(memory, "_GROUPS", folder / "groups")
    monkeypatch.setattr(memory, "_OWN", folder / "own")
