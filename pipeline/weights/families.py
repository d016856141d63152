"""Folds many tensor names into families, because a model of 200,000 tensors must fit into a reviewable file."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.manifest import Json

_NUMBER = re.compile(r"(?<![0-9])(?:0|[1-9][0-9]*)(?![0-9])")
_PLACE = "{}"


@dataclass(frozen=True, slots=True)
class BaseTensor:
    """What the plan needs of a tensor: where in its file it starts is read from the file itself."""

    dtype: str
    shape: tuple[int, ...]
    file: str


def fold(tensors: Mapping[str, BaseTensor], files: list[str]) -> list[Json]:
    """One row for each family: names that differ in their numbers only, of one dtype and shape.

    A family's "in" lists `file: numbers / numbers`, the file by its position in `files`, then for every `{}` of the
    name the numbers that stand there: "3: 2 / 0-383". Every combination of them is a tensor.
    """
    position = {file: index for index, file in enumerate(files)}
    families: dict[tuple[str, int, str, tuple[int, ...]], dict[str, set[tuple[int, ...]]]] = {}
    for name, tensor in tensors.items():
        pattern, numbers = _split(name)
        places = families.setdefault((pattern, len(numbers), tensor.dtype, tensor.shape), defaultdict(set))
        places[tensor.file].add(numbers)
    return [
        {
            "name": pattern,
            "dtype": dtype,
            "shape": list(shape),
            "in": [
                f"{position[file]}: {' / '.join(row)}".rstrip()
                for file in sorted(places, key=position.__getitem__)
                for row in _rows(places[file])
            ],
        }
        for (pattern, _, dtype, shape), places in sorted(families.items())
    ]


def unfold(rows: Iterable[Mapping[str, Json]], files: list[str]) -> dict[str, BaseTensor]:
    """The tensors that `fold` was given, sorted by name; `ValueError`, `KeyError` or `TypeError` for other rows."""
    tensors: dict[str, BaseTensor] = {}
    for row in rows:
        name, shape, places = row["name"], row["shape"], row["in"]
        if not isinstance(name, str) or not isinstance(shape, list) or not isinstance(places, list):
            raise TypeError(name)
        for place in places:
            file, _, numbers = str(place).partition(":")
            tensor = BaseTensor(str(row["dtype"]), tuple(_integer(size) for size in shape), files[int(file)])
            tensors.update(dict.fromkeys(_names(name, numbers), tensor))
    return dict(sorted(tensors.items()))


def _split(name: str) -> tuple[str, tuple[int, ...]]:
    """A name with braces of its own is a family of one, so that no brace is taken for a place."""
    if "{" in name or "}" in name:
        return name, ()
    return _NUMBER.sub(_PLACE, name), tuple(int(number) for number in _NUMBER.findall(name))


def _names(pattern: str, numbers: str) -> Iterator[str]:
    if not numbers:
        return iter((pattern,))
    columns = [list(_expand(column)) for column in numbers.split("/")]
    parts = pattern.split(_PLACE)
    if len(parts) != len(columns) + 1:
        raise ValueError(pattern)
    columns[-1] = [number + parts[-1] for number in columns[-1]]
    pieces = [[part + number for number in column] for part, column in zip(parts, columns, strict=False)]
    return map("".join, itertools.product(*pieces))


def _rows(places: Iterable[tuple[int, ...]]) -> list[tuple[str, ...]]:
    """Products of ranges that hold each of these tuples exactly once."""
    tails: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    for numbers in places:
        if not numbers:
            return [()]
        tails[numbers[0]].add(numbers[1:])
    alike: dict[frozenset[tuple[int, ...]], list[int]] = defaultdict(list)
    for number in sorted(tails):
        alike[frozenset(tails[number])].append(number)
    return [(_ranges(numbers), *row) for rest, numbers in alike.items() for row in _rows(rest)]


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _expand(ranges: str) -> Iterator[str]:
    for run in ranges.split(","):
        first, _, last = run.partition("-")
        yield from map(str, range(int(first), int(last or first) + 1))


def _integer(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value
