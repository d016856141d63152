"""What is around the marks of a plot: title, words, axes and ticks, all placed in inches from the lower left corner."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from pipeline.card import figures
from pipeline.card.lettering import DPI, font, lettered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.text import Text

WIDTH = 8.0
"""Inches: with all their pixels half as many again as a card is wide."""

EDGE = 0.35
INK, MUTED, FAINT, PAPER = "#1f2328", "#59636e", "#dfe3e8", "#ffffff"

_NOTE = 108
_NOTE_LINES = 2
_LONGEST = 60


@dataclass(frozen=True)
class Scale:
    """powers: equal steps are equal factors."""

    low: float
    high: float
    powers: bool

    @property
    def name(self) -> str:
        return "log" if self.powers else "linear"

    def ticks(self, about: int) -> list[float]:
        """Round numbers."""
        if not self.powers:
            found = MaxNLocator(about, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
            return [float(tick) for tick in found if self.low <= tick <= self.high]
        steps = (1,) if self.high > 1000 * self.low else (1, 2, 5)
        powers = range(power_of(self.low), power_of(self.high) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps]
        return [tick for tick in ticks if self.low <= tick <= self.high]


def titled(title: str, note: str, height: float) -> FigureCanvasAgg:
    """A white figure with `height` inches of room under its title and note."""
    lines = textwrap.wrap(lettered(note), _NOTE)[:_NOTE_LINES]
    whole = height + 0.55 + 0.18 * len(lines)
    canvas = FigureCanvasAgg(Figure(figsize=(WIDTH, whole), dpi=DPI, facecolor=PAPER))
    write(canvas, EDGE, whole - 0.38, title, size=13, bold=True)
    for index, line in enumerate(lines):
        write(canvas, EDGE, whole - 0.62 - 0.18 * index, line, size=8.5, color=MUTED)
    return canvas


def write(
    canvas: FigureCanvasAgg,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 9,
    bold: bool = False,
    color: str = INK,
    align: Literal["left", "right"] = "left",
) -> Text:
    return canvas.figure.text(
        x,
        y,
        text,
        transform=canvas.figure.dpi_scale_trans,
        fontproperties=font(size, bold=bold),
        color=color,
        horizontalalignment=align,
    )


def renderer(canvas: FigureCanvasAgg) -> RendererBase:
    return cast("RendererBase", cast("Any", canvas).get_renderer())


def width(canvas: FigureCanvasAgg, text: str, *, bold: bool = False) -> float:
    """Inches of a line of the usual size."""
    inches, _, _ = renderer(canvas).get_text_width_height_descent(text, font(9, bold=bold), ismath=False)
    return float(inches) / DPI


def fitted(canvas: FigureCanvasAgg, text: str, inches: float, *, bold: bool = False) -> str:
    """As much of a text as there is room for."""
    line = lettered(text)
    shorter = (lettered(line, longest) for longest in range(min(len(line), _LONGEST), 2, -1))
    return next((one for one in shorter if width(canvas, one, bold=bold) <= inches), line[:2])


def axes(
    canvas: FigureCanvasAgg, corner: tuple[float, float], opposite: tuple[float, float], names: tuple[str, str]
) -> Axes:
    """Between two corners, with a line below and fine ones across; the names of x and y stand at their ends."""
    height = canvas.figure.get_figheight()
    (left, bottom), (right, top) = corner, opposite
    made = canvas.figure.add_axes((left / WIDTH, bottom / height, (right - left) / WIDTH, (top - bottom) / height))
    made.set_facecolor("none")
    made.spines[["top", "right", "left"]].set_visible(False)
    made.spines["bottom"].set_color(MUTED)
    made.grid(axis="y", color=FAINT, linewidth=0.8)
    made.set_axisbelow(True)
    made.tick_params(length=0, colors=MUTED)
    made.tick_params(axis="x", length=3.5)
    write(canvas, right, bottom - 0.45, names[0], color=MUTED, align="right")
    write(canvas, EDGE, top + 0.1, names[1], color=MUTED)
    return made


def scale(values: Sequence[float], pad: float, *, apart: float) -> Scale:
    """What shows all values with room around them; in powers where the largest is `apart` times the smallest."""
    low, high = min(values), max(values)
    if low > 0 and high > apart * low:
        margin = (high / low) ** pad
        return Scale(low / margin, high * margin, powers=True)
    margin = pad * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - margin, high + margin, powers=False)


def number_ticks(axes: Axes, of: Scale) -> None:
    """Upwards, with as many decimals as tell them apart."""
    axes.set(yscale=of.name, ylim=(of.low, of.high))
    ticks = of.ticks(5)
    gap = min((high - low for low, high in pairwise(ticks)), default=0.001)
    places = [max(0, -power_of(tick if of.powers else gap)) for tick in ticks]
    said = [f"{tick:,.{few}f}" for tick, few in zip(ticks, places, strict=True)]
    axes.set_yticks(ticks, said, fontproperties=font(9))
    axes.yaxis.set_minor_locator(NullLocator())


def byte_ticks(axes: Axes, of: Scale) -> None:
    """To the right, in the unit that suits the largest."""
    axes.set(xscale=of.name, xlim=(of.low, of.high))
    unit = 1000 ** max(0, power_of(of.high) // 3)
    name = figures.byte_size(unit).partition(" ")[2]
    ticks = [tick * unit for tick in Scale(of.low / unit, of.high / unit, of.powers).ticks(6) if tick >= 0]
    axes.set_xticks(ticks, [f"{tick / unit:,g} {name}" for tick in ticks], fontproperties=font(9))
    axes.xaxis.set_minor_locator(NullLocator())


def length_ticks(canvas: FigureCanvasAgg, axes: Axes, lengths: Sequence[float]) -> None:
    """At the lengths that were measured, as far as their words do not touch; the longest in any case."""
    kept: dict[float, str] = {}
    free = math.inf
    for length in sorted(lengths, reverse=True):
        said = figures.grouped(int(length))
        place, half = float(axes.transData.transform((length, 1.0))[0]) / DPI, width(canvas, said) / 2
        if place + half < free:
            kept[length], free = said, place - half - 0.12
    axes.set_xticks(list(kept), list(kept.values()), fontproperties=font(9))
    axes.xaxis.set_minor_locator(NullLocator())


def power_of(value: float) -> int:
    """Of ten, just below a positive value."""
    return math.floor(math.log10(value) + 1e-9)
