from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.engine.task import Lane, Task
from pipeline.engine.workspace import Workspace
from pipeline.manifest import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Kitchen:
    """Makes tasks whose output is a function of their settings and of what they need, and logs every start."""

    lanes = (Lane("first", "makes things"), Lane("second", "combines things", width=2))

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.starts: list[str] = []

    def task(self, name: str, needs: tuple[str, ...] = (), *, lane: int = 0, text: str = "", **more) -> Task:
        outputs = (f"made/{name}",)

        def run(step) -> Mapping:
            self.starts.append(name)
            eaten = "".join(step.path(f"made/{need}").read_text() for need in needs)
            step.advance(1)
            write_atomically(step.path(outputs[0]), f"{name}={text}({eaten})")
            return {}

        return Task(name, self.lanes[lane], run, needs, {"text": text}, outputs, work=1, **more)

    def content(self, name: str) -> str:
        return self.workspace.path(f"made/{name}").read_text()


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path / "workspace")
