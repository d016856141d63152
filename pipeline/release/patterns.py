"""The simplest regular expression that finds some modules of a model and no other one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.release.layers import layer_class

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence


def pattern_of(wanted: Collection[str], paths: Sequence[str]) -> str:
    """Finds exactly `wanted` among `paths`; by tensor class where that can be, else path by path."""
    for pattern in _candidates(list(dict.fromkeys(layer_class(path) for path in paths if path in wanted))):
        if {path for path in paths if re.search(pattern, path)} == set(wanted):
            return pattern
    return f"^({'|'.join(re.escape(path) for path in sorted(wanted))})$"


def _candidates(names: Sequence[str]) -> Iterator[str]:
    """The name of a class leaves out the numbers of its paths, which may stand anywhere in them."""
    escaped = "|".join(map(re.escape, names))
    numbered = "|".join(re.escape(name).replace(r"\.", r"\.(\d+\.)*") for name in names)
    parents = {name.rpartition(".")[0] for name in names}
    if len(names) == 1:
        yield from (f"{escaped}$", rf"\.{escaped}$")
    else:
        if len(parents) == 1 and (parent := re.escape(parents.pop())):
            last = "|".join(re.escape(name.rpartition(".")[2]) for name in names)
            yield from (rf"{parent}\.", rf"\.{parent}\.", rf"{parent}\.({last})$", rf"\.{parent}\.({last})$")
        yield f"({escaped})$"
        escaped, numbered = f"({escaped})", f"({numbered})"
    yield from (rf"(^|\.){escaped}$", rf"(^|\.){numbered}$", rf"(^|\.){numbered}(\.\d+)*$")
