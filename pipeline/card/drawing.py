"""Charts as pixels, by matplotlib without pyplot: nothing that a person has set for matplotlib changes one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, IdentityTransform

from pipeline.card import figures
from pipeline.card.charts import Bars, Lines, Scatter
from pipeline.card.frame import (
    EDGE,
    FAINT,
    INK,
    MUTED,
    PAPER,
    WIDTH,
    axes,
    byte_ticks,
    fitted,
    length_ticks,
    number_ticks,
    renderer,
    scale,
    titled,
    width,
    write,
)
from pipeline.card.lettering import DPI, font, label, lettered, spread, tied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from numpy.typing import NDArray

    from pipeline.card.charts import Chart, Panel, Point, Series

# Told apart by people who see colours otherwise (Okabe and Ito); marks differ too.
_OWN = "#0072b2"
_OTHERS = (
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#a8589a", "D"),
    ("#b58500", "v"),
    ("#3d444d", "P"),
    ("#2f8fc4", "X"),
    ("#7a4d1f", "<"),
    ("#8c959f", ">"),
    ("#d55e00", "p"),
)
_FEWEST, _MOST = (0x9C, 0xCB, 0xE8), (0x0B, 0x2F, 0x5C)
"""The colours of 2 and of 16 bits per weight."""

_TIE = "#b4bcc4"
_PLACES = np.array([1 << 16, 1 << 8, 1], np.uint32)
_ROOM = 2.6
"""Inches for the names of lines."""

_FAR_APART = 12
"""Times that the fastest is as fast as the slowest, from which on even steps would hide the slow ones."""


def pixels(chart: Chart) -> tuple[int, bytes, bytes]:
    """The width, a palette of three bytes a colour, and an index into it for every pixel, row by row."""
    # The defaults and not what a matplotlibrc says; put back afterwards.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["text.parse_math"] = False
        canvas: Any = _painted(chart)
        canvas.draw()
        image = np.asarray(canvas.buffer_rgba())
    return image.shape[1], *_indexed(image[:, :, :3].astype(np.uint32))


def _painted(chart: Chart) -> FigureCanvasAgg:
    if isinstance(chart, Scatter):
        return _scatter(chart)
    return _lines(chart) if isinstance(chart, Lines) else _bars(chart)


def _indexed(image: NDArray[np.uint32]) -> tuple[bytes, bytes]:
    """The 256 most frequent colours, and for every pixel the nearest: the others are single pixels of smooth edges."""
    colours, where, counts = np.unique(image @ _PLACES, return_inverse=True, return_counts=True)
    channels = colours[:, None] // _PLACES % 256
    frequent = channels[np.argsort(-counts, kind="stable")[:256]].astype(np.int64)
    nearest = ((channels[:, None, :].astype(np.int64) - frequent) ** 2).sum(axis=2).argmin(axis=1)
    return frequent.astype(np.uint8).tobytes(), nearest[where.reshape(-1)].astype(np.uint8).tobytes()


def _scatter(chart: Scatter) -> FigureCanvasAgg:
    room = 3.6
    canvas = titled(chart.title, chart.note, room)
    plane = axes(canvas, (0.8, 0.6), (WIDTH - EDGE, room - 0.3), (chart.x_axis, chart.y_axis))
    points = [one.points[0] for one in chart.series]
    byte_ticks(plane, scale([point.x for point in points], 0.14, apart=3))
    number_ticks(plane, scale(_edges(points), 0.16, apart=3))
    looks = _looks(chart.series)
    taken: list[Bbox] = []
    for one, point in zip(chart.series, points, strict=True):
        error = None if point.error is None else [[point.error], [point.error]]
        plane.errorbar(
            point.x, point.y, error, linestyle="", elinewidth=1.3, capsize=3, zorder=3 + one.own, **looks[one.name]
        )
        middle, low, high = plane.transData.transform([(point.x, y) for y in (point.y, *_edges([point]))])
        taken += [Bbox([middle - 9, middle + 9]), Bbox([low - 6, high + 6])]
    for one, point in zip(chart.series, points, strict=True):
        said = f"{fitted(canvas, one.name, 2.2, bold=one.own)}\n{point.said}"
        look: dict[str, Any] = {
            "fontproperties": font(9, bold=one.own),
            "color": _OWN if one.own else INK,
            "linespacing": 1.25,
        }
        # Below the marks, which no label may hide, and above the lines across.
        text = plane.text(0, 0, said, transform=IdentityTransform(), zorder=2.5, **look)
        text.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 1.0})
        box = label(plane, renderer(canvas), (point.x, point.y), text, taken)
        taken.append(box)
        x, y = plane.transData.transform((point.x, point.y))
        if end := tied(box, x, y):
            plane.add_artist(
                Line2D([x, end[0]], [y, end[1]], transform=IdentityTransform(), color=_TIE, linewidth=1, zorder=2)
            )
    return canvas


def _lines(chart: Lines) -> FigureCanvasAgg:
    room, above, below = 2.05, 0.62, 0.6
    canvas = titled(chart.title, chart.note, len(chart.panels) * (room + above + below))
    every = [one for panel in chart.panels for one in panel.series]
    looks, names = _looks(every), {one.name: _stacked(canvas, one) for one in every}
    right = (
        WIDTH - EDGE - max(width(canvas, line, bold=True) for name in names.values() for line in name.split("\n")) - 0.4
    )
    for index, panel in enumerate(reversed(chart.panels)):
        bottom = index * (room + above + below) + below
        plane = axes(canvas, (0.8, bottom), (right, bottom + room), (panel.x_axis, "Tokens per second"))
        write(canvas, EDGE, bottom + room + 0.31, panel.heading, size=10, bold=True)
        _scales(canvas, plane, panel)
        for one in panel.series:
            xs, ys, errors = zip(*((point.x, point.y, point.error or 0.0) for point in one.points), strict=True)
            thick = 2.4 if one.own else 1.3
            plane.errorbar(
                xs, ys, errors if any(errors) else None, linewidth=thick, elinewidth=1.2, capsize=2.5,
                zorder=3 + one.own, **looks[one.name],
            )  # fmt: skip
        _end_labels(canvas, plane, panel, looks, names)
    return canvas


def _scales(canvas: FigureCanvasAgg, plane: Axes, panel: Panel) -> None:
    """Lengths by powers, since they are chosen so; speeds too where the fastest is many times the slowest."""
    points = [point for one in panel.series for point in one.points]
    lengths = sorted({point.x for point in points})
    margin = (lengths[-1] / lengths[0]) ** 0.04 if len(lengths) > 1 else 2.0
    plane.set(xscale="log", xlim=(lengths[0] / margin, lengths[-1] * margin))
    number_ticks(plane, scale(_edges(points), 0.08, apart=_FAR_APART))
    length_ticks(canvas, plane, lengths)


def _end_labels(
    canvas: FigureCanvasAgg, plane: Axes, panel: Panel, looks: dict[str, dict[str, Any]], names: dict[str, str]
) -> None:
    """A label to the right of every line, tied to its last point where others push it away."""
    inches = canvas.figure.dpi_scale_trans
    ends = plane.transData.transform([(one.points[-1].x, one.points[-1].y) for one in panel.series]) / DPI
    box = plane.get_window_extent(renderer(canvas))
    gap = 0.34 if any("\n" in names[one.name] for one in panel.series) else 0.185
    places = spread([float(y) for _, y in ends], gap, box.y0 / DPI, box.y1 / DPI)
    x = box.x1 / DPI + 0.2
    for one, (start, height), place in zip(panel.series, ends, places, strict=True):
        tie = Line2D([start, x], [height, place], transform=inches, color=FAINT, linewidth=1, zorder=-1)
        mark = Line2D([x], [place], transform=inches, **{**looks[one.name], "markersize": 5.5})
        canvas.figure.add_artist(tie)
        canvas.figure.add_artist(mark)
        text = write(canvas, x + 0.1, place, names[one.name], bold=one.own, color=_OWN if one.own else INK)
        text.set_verticalalignment("center" if "\n" in names[one.name] else "center_baseline")


def _stacked(canvas: FigureCanvasAgg, series: Series) -> str:
    """Its name, in two lines where it is too long for one."""
    line = lettered(series.name)
    if not series.detail or width(canvas, line, bold=True) <= _ROOM:
        return fitted(canvas, line, _ROOM, bold=True)
    return "\n".join(fitted(canvas, part, _ROOM, bold=True) for part in (series.label, series.detail) if part)


def _bars(chart: Bars) -> FigureCanvasAgg:
    row, below = 0.3, 0.2
    room = row * (len(chart.bars) + 1) + below
    canvas = titled(chart.title, f"{chart.note}; the darker, the more bits", room)
    names = ["Tensors", *(fitted(canvas, bar.label, 2.2) for bar in chart.bars)]
    stored = ["Stored as", *(fitted(canvas, bar.stored, 1.7) for bar in chart.bars)]
    sizes = [f"{figures.byte_size(bar.bytes)}  ({figures.percent(bar.share)})" for bar in chart.bars]
    second, left, last = (max(width(canvas, text) for text in column) + 0.2 for column in (names, stored, sizes))
    second += EDGE
    left += second
    right = WIDTH - EDGE - last
    longest = max(bar.bytes for bar in chart.bars)
    for index, texts in enumerate(zip(names, stored, ["Size, with scales and biases", *sizes], strict=True)):
        bar = chart.bars[index - 1] if index else None
        middle = room - (index + 0.5) * row
        length = (right - left) * bar.bytes / longest if bar else 0.0
        if bar:
            patch = Rectangle((left, middle - 0.1), length, 0.2, facecolor=_shade(bar.bits), linewidth=0)
            patch.set_transform(canvas.figure.dpi_scale_trans)
            canvas.figure.add_artist(patch)
        for x, text in zip((EDGE, second, left + (length + 0.08 if bar else 0.0)), texts, strict=True):
            write(canvas, x, middle, text, color=INK if bar else MUTED).set_verticalalignment("center_baseline")
    return canvas


def _looks(series: Sequence[Series]) -> dict[str, dict[str, Any]]:
    """By name, what `errorbar` is told: the colour, the mark, and whether it is hollow."""
    others = list(dict.fromkeys(one.name for one in series if not one.own))
    looks: dict[str, dict[str, Any]] = {}
    for one in series:
        color, marker = (_OWN, "o") if one.own else _OTHERS[others.index(one.name) % len(_OTHERS)]
        looks[one.name] = {
            "color": color,
            "marker": marker,
            "markersize": 8.0 if one.own else 6.5,
            "markerfacecolor": PAPER if one.reported else color,
            "markeredgewidth": 1.6,
        }
    return looks


def _shade(bits: float) -> str:
    part = min(1.0, max(0.0, math.log2(max(bits, 1.0) / 2) / 3))
    return "#" + "".join(f"{round(few + part * (many - few)):02x}" for few, many in zip(_FEWEST, _MOST, strict=True))


def _edges(points: Sequence[Point]) -> list[float]:
    """What errors reach to; down to a tenth of a figure, below which they say that it is not known at all."""
    errors = [(point.y, point.error or 0.0) for point in points]
    return [max(y - error, y / 10) for y, error in errors] + [y + error for y, error in errors]
