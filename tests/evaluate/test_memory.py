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
    ("files", "left"),
    [
        ({"memory.max": "1000\n", "memory.current": "400\n"}, 600),
        ({"memory.max": "1000\n", "memory.current": "4000\n"}, 0),
        ({"memory/memory.limit_in_bytes": "500\n", "memory/memory.usage_in_bytes": "100\n"}, 400),
        ({"memory.max": "1000\n"}, 1000),
    ],
)
def test_a_control_group_is_heeded(monkeypatch, tmp_path, files, left) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available() == left


def test_a_control_group_without_a_limit_is_none(monkeypatch, tmp_path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available() > 1 << 20
