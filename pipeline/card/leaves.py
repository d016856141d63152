"""Nested values as one table of paths, so that two of them can be compared value by value."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.manifest import Json


def leaves(value: Json, keys: tuple[str, ...] = ()) -> dict[str, Json]:
    """Every value by its path, such as `text.sha256`; a list without tables in it is one value.

    keys: by which of its values a table in a list is named, the first that it has; by its number where it has none.
    """
    found: dict[str, Json] = {}
    for path, leaf in _leaves(value, keys):
        # Two that have one path are told apart, or a change of the first would go unseen.
        free = path if path not in found else next(p for n in range(2, 10**6) if (p := f"{path} ({n})") not in found)
        found[free] = leaf
    return found


def differing(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    """The values that are not the same on both sides, by their paths; None for what one side has not."""
    paths = [path for path in {**old, **new} if not _same(old.get(path), new.get(path))]
    return {path: (old.get(path), new.get(path)) for path in paths}


def _same(one: Json, other: Json) -> bool:
    """Also of what is no number, which equals nothing."""
    return one == other or repr(one) == repr(other)


def _leaves(value: Json, keys: tuple[str, ...], path: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, keys, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        names = [_name(one, keys) or str(number) for number, one in enumerate(value, 1)]
        often = Counter(names)
        for number, (name, inner) in enumerate(zip(names, value, strict=True), 1):
            own = name if often[name] == 1 else f"{name} ({number})"
            yield from _leaves(inner, keys, path if len(value) == 1 and not keys else f"{path}.{own}".lstrip("."))
    else:
        yield path, value


def _name(value: Json, keys: tuple[str, ...]) -> str:
    found = (value[key] for key in keys if key in value) if isinstance(value, dict) else iter(())
    return str(next(found, ""))
