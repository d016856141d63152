"""Tiny base models with random weights: right here, since these tests are about bits and not about quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import tiny_base

from pipeline.manifest import Manifest, describe
from pipeline.weights.base import BaseModel, read_base

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Callable[..., Path]:
    """A folder with a base model of an architecture: `tiny("llama", "BF16")`; `files` divides it into that many."""
    made: dict[tuple, Path] = {}

    def make(name: str, dtype: str = "BF16", files: int = 1, **more) -> Path:
        key = (name, dtype, files, repr(more))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("base") / "model"
            tiny_base.write(made[key], name, dtype, files, **more)
        return made[key]

    return make


@pytest.fixture(scope="session")
def read_folder() -> Callable[[Path], BaseModel]:
    def read(folder: Path) -> BaseModel:
        files = Manifest(tuple(describe(path, path.name) for path in folder.iterdir()))

        def part(path: str, start: int, length: int) -> bytes:
            with (folder / path).open("rb") as handle:
                handle.seek(start)
                return handle.read(length)

        return read_base("someone/model", "0" * 40, files, part)

    return read
