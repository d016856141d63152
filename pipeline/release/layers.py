"""Layer numbers: how a rule writes them, and where a module path holds one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RANGE = re.compile(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True)
class Layers:
    """A set of layer numbers, kept as inclusive ranges in ascending order that neither overlap nor touch."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, layer: object) -> bool:
        return isinstance(layer, int) and any(first <= layer <= last for first, last in self.ranges)

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Layers:
        return cls(_merged((number, number) for number in numbers))

    @classmethod
    def parse(cls, text: str) -> Layers:
        """`1-11,15,19,50-60`; `ValueError` says which part is wrong, or named twice."""
        ranges = []
        for part in text.split(","):
            found = _RANGE.fullmatch(part.strip())
            if not found:
                raise ValueError(f"must be layers and ranges such as `1-11,15,50-60`; '{part.strip()}' is neither")
            first, last = int(found[1]), int(found[2] or found[1])
            if last < first:
                raise ValueError(f"must count upwards: write `{last}-{first}` instead of `{first}-{last}`")
            ranges.append((first, last))
        for (first, last), (following, _) in pairwise(sorted(ranges)):
            if following <= last:
                raise ValueError(f"names layer {following} twice: in `{cls(((first, last),))}` and again after it")
        return cls(_merged(ranges))

    def after(self, last: int) -> Layers:
        """The layers beyond `last`."""
        return Layers(tuple((max(low, last + 1), high) for low, high in self.ranges if high > last))


def layer_of(path: str) -> int | None:
    """The integer after a `layers` component of a module path, else its first all-digit component."""
    parts = path.split(".")
    for before, part in pairwise(parts):
        if before == "layers" and _is_number(part):
            return int(part)
    return next((int(part) for part in parts if _is_number(part)), None)


def layer_class(path: str) -> str:
    """The tensor class of a module for tables: its last two names inside a layer, its last name outside of one.

    `model.layers.3.mlp.switch_mlp.down_proj` is `switch_mlp.down_proj`, `language_model.lm_head` is `lm_head`.
    """
    parts = path.split(".")
    numbers = [index for index, part in enumerate(parts) if _is_number(part)]
    if not numbers:
        return parts[-1]
    names = [part for part in parts[numbers[0] + 1 :] if not _is_number(part)]
    return ".".join(names[-2:]) or ".".join(part for part in parts if not _is_number(part))


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit()


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)
