"""The identifiers that the Hub knows: one list a file, made by `pipeline.metadata.refresh` from public sources."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "lists"


@cache
def identifiers(name: str) -> frozenset[str]:
    """All of `lists/NAME.txt`; lines that begin with `#` say where they are from."""
    lines = (FOLDER / f"{name}.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
