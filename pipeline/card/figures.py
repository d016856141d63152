"""Numbers as people read them: no more digits than the measurement carries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.manifest import Json

_BYTES = ("bytes", "kB", "MB", "GB", "TB", "PB")
_COUNTS = ("", " thousand", " million", " billion", " trillion")
MINUS = "\N{MINUS SIGN}"


def decimals(error: float | None) -> int:
    """Decimal places that show two significant digits of a standard error; none from 10 upwards."""
    if not error or not math.isfinite(error):
        return 3
    exponent = int(f"{error:.1e}".partition("e")[2])
    return max(0, 1 - exponent)


def with_error(value: float, error: float | None) -> str:
    """`12.63 ± 0.41`; three significant digits where the error is not known."""
    if error is None:
        return significant(value)
    if not math.isfinite(value):
        return "not finite"
    places = decimals(error)
    return f"{value:.{places}f} ± {error:.{places}f}"


def error(value: float) -> str:
    """A standard error by itself, with two significant digits."""
    return f"{value:.{decimals(value)}f}"


def significant(value: float, digits: int = 3) -> str:
    """A figure whose error is not known, with so many significant digits and never an exponent."""
    if not math.isfinite(value):
        return "not finite"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def share(value: float, error: float | None = None) -> str:
    """`94.12 ± 0.26 %`, or without a known error `94.1 %`."""
    return with_error(value * 100, error * 100 if error else None) + " %"


def nats(value: float, error: float | None = None) -> str:
    """`0.0312 ± 0.0011 nats`."""
    return with_error(value, error or None) + " nats"


def signed(value: float, places: int) -> str:
    """The sign always written, but none on a zero."""
    text = f"{abs(value):.{places}f}"
    if not float(text):
        return text
    return ("+" if value > 0 else MINUS) + text


def percent(ratio: float, *, sign: bool = False) -> str:
    """A ratio as per cent with two significant digits: `+4.2 %`, `41 %`, `+0.013 %`."""
    value = ratio * 100
    if not sign and 0 < value < 0.0005:
        return "<0.001 %"
    places = min(decimals(abs(value)), 3) if value else 0
    return (signed(value, places) if sign else f"{value:.{places}f}") + " %"


def relative(ratio: float, error: float | None) -> str:
    """A relative change with as many digits as its standard error carries: `-0.55 %`."""
    return f"{signed(ratio * 100, decimals(error * 100))} %" if error else percent(ratio, sign=True)


def byte_size(count: int) -> str:
    """Decimal units with three significant digits, as the Hub shows sizes."""
    return "1 byte" if count == 1 else _scaled(count, _BYTES, " ")


def byte_sizes(one: int, other: int) -> tuple[str, str]:
    """Two sizes, with more decimals of one unit where they would look alike: `350.25 GB` and `350.40 GB`."""
    text, another = byte_size(one), byte_size(other)
    if text != another or one == other:
        return text, another
    name = text.partition(" ")[2]
    unit = 1000 ** _BYTES.index(name)
    amount, other_amount = apart(one / unit, other / unit)
    return f"{amount} {name}", f"{other_amount} {name}"


def apart(one: float, other: float) -> tuple[str, str]:
    """Both with two decimals, or as many more as it takes to tell them apart."""
    pairs = ((f"{one:.{places}f}", f"{other:.{places}f}") for places in range(2, 16))
    return next((pair for pair in pairs if pair[0] != pair[1] or one == other), (str(one), str(other)))


def memory_size(count: int) -> str:
    """Memory as machines are sold with it, in GiB where that is a whole number."""
    return f"{count >> 30} GiB" if count % (1 << 30) == 0 else byte_size(count)


def quantity(count: int) -> str:
    """`135 million`."""
    return _scaled(count, _COUNTS, "")


def grouped(count: int) -> str:
    """Every digit, in groups of three."""
    return f"{count:,}"


def bits(value: float) -> str:
    """Bits per weight."""
    return f"{value:.2f}"


def versions(tools: Mapping[str, str]) -> str:
    """`mlx 0.32.4, mlx-lm 0.32.2`."""
    return ", ".join(f"{name} {tools[name]}" for name in sorted(tools))


def machine(described: Mapping[str, Json]) -> str:
    """What a machine says of itself, in its own order: `Apple M3 Ultra, 32 cores, 512 GB memory`."""
    return ", ".join(
        value if isinstance(value, str) else f"{_amount(name, value)} {name}"
        for name, value in described.items()
        if value
    )


def _amount(name: str, value: Json) -> str:
    return byte_size(value) if name == "memory" and isinstance(value, int) else str(value)


def _scaled(count: int, units: tuple[str, ...], space: str) -> str:
    amount, step = float(count), 0
    # 999.5 would be written as 1000 of a unit that has a bigger sister.
    while amount >= 999.5 and step < len(units) - 1:
        amount, step = amount / 1000, step + 1
    places = 0 if step == 0 or amount >= 99.95 else 1 if amount >= 9.995 else 2
    return f"{amount:.{places}f}{space}{units[step]}"
