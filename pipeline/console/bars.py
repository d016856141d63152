"""One bar a lane, drawn for a given width and moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.console.terminal import one_line
from pipeline.console.words import clock, part, rate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.console.lanes import LaneProgress

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_WIDE = 110
_NARROW = 72
_SHORTEST_BAR = 6


def bars(lanes: Iterable[LaneProgress], width: int, now: float) -> list[Text]:
    """Lines no longer than `width`.

    What each lane is working on stands before its bar where there is room, otherwise on a line of its own.
    """
    rows = [(lane, _amount(lane), _rate(lane, now), _time(lane, now)) for lane in lanes]
    if not rows:
        return []
    name_width = max(len(lane.lane.name) for lane, *_ in rows)
    # The least widths keep the columns where they are while the figures in them change.
    amount_width = max(14, *(len(amount) for _, amount, _, _ in rows))
    rate_width = max(9, *(len(rate) for _, _, rate, _ in rows))
    time_width = max(9, *(len(time) for _, _, _, time in rows))
    percent_width = 5 if width >= _NARROW else 0
    room = width - (2 + name_width + 2) - sum(w + 2 for w in (amount_width, rate_width, time_width, percent_width) if w)
    bar_width = width // 6 if width >= _WIDE else room
    if bar_width < _SHORTEST_BAR:
        bar_width, rate_width = bar_width + rate_width + 2, 0
    lines = []
    for lane, amount, speed, time in rows:
        line = Text.assemble(_mark(lane, now), f" {lane.lane.name:<{name_width}}  ", no_wrap=True)
        if width >= _WIDE:
            line.append_text(_fit(_current(lane), room - bar_width - 2)).append("  ")
        line.append_text(_bar(lane, max(bar_width, _SHORTEST_BAR))).append("  ")
        if percent_width:
            line.append(f"{int(lane.fraction * 100):>3} %  ")
        line.append(f"{amount:>{amount_width}}  ")
        if rate_width:
            line.append(f"{speed:>{rate_width}}  ", "cyan")
        line.append(f"{time:>{time_width}}")
        if lane.began is None:
            line.stylize("dim")
        lines.append(line)
        if width < _WIDE and lane.running:
            lines.append(Text(" " * (name_width + 4)).append_text(_current(lane)))
    for line in lines:
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
    return lines


def _mark(lane: LaneProgress, now: float) -> tuple[str, str]:
    if lane.failed:
        return "✗", "bold red"
    if lane.is_finished:
        return "✓", "bold green"
    if lane.running:
        return _SPINNER[int(now * 8) % len(_SPINNER)], "cyan"
    return "·", ""


def _bar(lane: LaneProgress, width: int) -> Text:
    """Told apart by thickness as well as by colour."""
    halves = int(lane.fraction * width * 2)
    full = "━" * (halves // 2) + "╸" * (halves % 2)
    style = "red" if lane.failed else "green" if lane.is_finished else "cyan"
    return Text.assemble((full, style), ("─" * (width - len(full)), "dim"))


def _current(lane: LaneProgress) -> Text:
    if lane.running:
        first = one_line(next(iter(lane.running)).removeprefix(f"{lane.lane.name}/"))
        more = len(lane.running) - 1
        return Text(first + (f" +{more}" if more else ""), style="dim")
    if not lane.is_finished:
        return Text()
    reused = f", {lane.reused} reused" if lane.reused else ""
    return Text(f"{lane.tasks} task{'s' * (lane.tasks > 1)}{reused}", style="dim")


def _amount(lane: LaneProgress) -> str:
    if lane.total:
        return part(lane.done, lane.total, lane.lane.unit)
    return f"{lane.finished} of {lane.tasks} task{'s' * (lane.tasks > 1)}"


def _rate(lane: LaneProgress, now: float) -> str:
    per_second = lane.rate.per_second(now) if lane.running else lane.average
    return rate(per_second, lane.lane.unit) if per_second else ""


def _time(lane: LaneProgress, now: float) -> str:
    if lane.failed:
        return "failed"
    if lane.is_finished:
        return f"in {clock(lane.seconds)}"
    if lane.running:
        if (left := lane.left(now)) is not None:
            return f"{clock(left)} left"
        return "finishing" if lane.total and lane.done == lane.total else ""
    return "stopped" if lane.stopped else "waiting"


def _fit(text: Text, width: int) -> Text:
    fitted = text.copy()
    fitted.truncate(width, overflow="ellipsis", pad=True)
    return fitted
