"""A chart in words, for those who cannot see it: every number that is drawn, in a text of bounded length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.card import figures
from pipeline.card.charts import Bars, Scatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.card.charts import Bar, Chart, Lines, Series

LONGEST = 1800
"""Characters: nobody listens to more, and `escape.visible` would cut it inside a number."""


def words(chart: Chart) -> str:
    """What it shows, then its numbers; where they get too long, how many parts are left out."""
    if isinstance(chart, Bars):
        head, parts = f"{chart.title}: {chart.note}", [bar_words(bar) for bar in chart.bars]
    elif isinstance(chart, Scatter):
        head, parts = f"{chart.y_axis}, by size of the weights", _scatter(chart)
    else:
        head, parts = "Tokens per second, higher is better", _lines(chart)
    note = "" if isinstance(chart, Bars) or not chart.note else f" ({chart.note})"
    return _bounded(f"{head}{note}. ", parts)


def bar_words(bar: Bar) -> str:
    return f"{bar.label} {figures.byte_size(bar.bytes)} ({figures.percent(bar.share)}) as {bar.stored}"


def _scatter(chart: Scatter) -> list[str]:
    return [
        f"{series.name}{_mark(series, chart.series)} {point.said} at {figures.byte_size(int(point.x))}"
        for series in chart.series
        for point in series.points
    ]


def _lines(chart: Lines) -> list[str]:
    parts = []
    every = [series for panel in chart.panels for series in panel.series]
    for panel in chart.panels:
        for series in panel.series:
            heading = f"{panel.heading}: " if series is panel.series[0] else ""
            rates = ", ".join(f"{point.said} at {figures.grouped(int(point.x))}" for point in series.points)
            parts.append(f"{heading}{series.name}{_mark(series, every)} {rates}")
    return parts


def _mark(series: Series, every: Sequence[Series]) -> str:
    """Where all of them are reported, the note says so."""
    return " (reported)" if series.reported and not all(one.reported for one in every) else ""


def _bounded(head: str, parts: Sequence[str]) -> str:
    kept: list[str] = []
    for part in parts:
        if len(head) + sum(len(one) + 2 for one in [*kept, part]) > LONGEST:
            return f"{head}{'; '.join(kept)}; and {len(parts) - len(kept)} more."
        kept.append(part)
    return f"{head}{'; '.join(kept)}."
