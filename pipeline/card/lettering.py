"""The words of a plot: in the fonts that matplotlib ships, no longer than there is room, and not on one another."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.transforms import Bbox

from pipeline.card.escape import ELLIPSIS, REPLACEMENT, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.text import Text

DPI = 150
"""Pixels of an inch."""

_DISTANCES = (8.0, 16.0, 28.0, 42.0, 60.0)
"""Points between a mark and its label, the first ones tried first."""

_BESIDE = 12.0


def font(size: float, *, bold: bool = False) -> FontProperties:
    """DejaVu Sans by its file: asked for by name, a font of the system could come instead."""
    return FontProperties(fname=_file(bold), size=size)


def lettered(text: str, longest: int = 200) -> str:
    """One line of what the font has glyphs for, both ends of it kept where it is too long."""
    line = "".join(character if ord(character) in _glyphs() else REPLACEMENT for character in visible(text))
    if len(line) <= longest:
        return line
    end = longest * 2 // 5
    return f"{line[: longest - end - 1].rstrip()}{ELLIPSIS}{line[-end:].lstrip()}"


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as possible to those `wanted`, at least `gap` apart where `low` to `high` has room for that."""
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Runs of labels that touch: where the middle of each would like to be, and how many there are.
    runs: list[tuple[float, int]] = []
    for index in order:
        runs.append((wanted[index], 1))
        while len(runs) > 1 and _first(runs[-1], gap) - _last(runs[-2], gap) < gap:
            (middle, count), (before, earlier) = runs.pop(), runs.pop()
            runs.append(((middle * count + before * earlier) / (count + earlier), count + earlier))
    places = [_first(run, gap) + step * gap for run in runs for step in range(run[1])]
    for index in range(len(places)):
        places[index] = max(places[index], low + index * gap)
    for index in reversed(range(len(places))):
        places[index] = min(places[index], high - (len(places) - 1 - index) * gap)
    return [places[order.index(index)] for index in range(len(wanted))]


def label(axes: Axes, renderer: RendererBase, point: tuple[float, float], text: Text, taken: Sequence[Bbox]) -> Bbox:
    """Move `text` near a point, to the nearest place where it covers least of what is `taken`; its box in pixels."""
    x, y = axes.transData.transform(point)
    room = axes.get_window_extent(renderer)
    places = [
        (x + right * far * DPI / 72, y + up * far * DPI / 72, horizontal, vertical)
        for far in _DISTANCES
        for right, up, horizontal, vertical in _SIDES
    ]
    best = min(places, key=lambda place: _covered(_put(text, place, renderer), taken, room))
    return _put(text, best, renderer)


def tied(box: Bbox, x: float, y: float) -> tuple[float, float] | None:
    """Where a line from a point ends at its label; None where the label lies beside it."""
    end = min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)
    return end if math.dist(end, (x, y)) > _BESIDE * DPI / 72 else None


_SIDES = (
    (1.0, 0.0, "left", "center"),
    (-1.0, 0.0, "right", "center"),
    (0.0, 1.0, "center", "bottom"),
    (0.0, -1.0, "center", "top"),
    (0.7, 0.7, "left", "bottom"),
    (0.7, -0.7, "left", "top"),
    (-0.7, 0.7, "right", "bottom"),
    (-0.7, -0.7, "right", "top"),
)


def _put(text: Text, place: tuple[float, float, str, str], renderer: RendererBase) -> Bbox:
    x, y, horizontal, vertical = place
    x, y = text.get_transform().inverted().transform((x, y))
    text.set(x=x, y=y, horizontalalignment=horizontal, verticalalignment=vertical)
    return text.get_window_extent(renderer)


def _covered(box: Bbox, taken: Sequence[Bbox], room: Bbox) -> float:
    """Pixels of `taken` under a box, and of the box outside its room."""
    inside = Bbox.intersection(box, room)
    outside = box.width * box.height - (inside.width * inside.height if inside else 0.0)
    under = (Bbox.intersection(box, other) for other in taken)
    return outside + sum(one.width * one.height for one in under if one)


def _first(run: tuple[float, int], gap: float) -> float:
    return run[0] - gap * (run[1] - 1) / 2


def _last(run: tuple[float, int], gap: float) -> float:
    return run[0] + gap * (run[1] - 1) / 2


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(_file(bold=False)).get_charmap()) & frozenset(FT2Font(_file(bold=True)).get_charmap())


def _file(bold: bool) -> str:
    return str(Path(mpl.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' if bold else ''}.ttf"))
