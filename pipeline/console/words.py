"""Amounts of work and time as people read them, short enough to stand beside a bar."""

from __future__ import annotations

from pipeline.card.figures import byte_size, grouped

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def amount(count: int, unit: str) -> str:
    """`61.2 MB`, `8,192 tokens`."""
    return byte_size(count) if unit == "B" else f"{grouped(count)} {unit}".rstrip()


def part(done: int, total: int, unit: str) -> str:
    """`61.2 of 135 MB`, `412 of 8,192`: the unit of a count stands beside its rate."""
    if unit != "B":
        return f"{grouped(done)} of {grouped(total)}"
    have, want = byte_size(done), byte_size(total)
    number, _, scale = have.partition(" ")
    return f"{number if want.endswith(f' {scale}') or not done else have} of {want}"


def rate(per_second: float, unit: str) -> str:
    """`8.10 MB/s`, `412 tokens/s`, `1.3 windows/s`."""
    if unit == "B":
        return f"{byte_size(round(per_second))}/s"
    return f"{per_second:,.0f} {unit}/s" if per_second >= 10 else f"{per_second:.1f} {unit}/s"


def clock(seconds: float) -> str:
    """`0:09`, `3:20`, `1:05:00`."""
    whole = round(seconds)
    hours, minutes = divmod(whole // _MINUTE, 60)
    return f"{hours}:{minutes:02}:{whole % _MINUTE:02}" if hours else f"{minutes}:{whole % _MINUTE:02}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `1 h 5 min`, `2 d 3 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, next_size, next_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {name}" + (f" {rest} {next_name}" if rest else "")
    return f"{whole} s"


def age(seconds: float) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `12 d ago`."""
    for size, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return "just now"
