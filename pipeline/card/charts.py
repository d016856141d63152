"""What a plot shows, free of how it is drawn: every number with its label, every axis with its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Point:
    """error: drawn to both sides of y; None where it is not known. said: the number in words, as on the card."""

    x: float
    y: float
    error: float | None
    said: str


@dataclass(frozen=True)
class Series:
    """own: of this release, and stands out; reported: taken over from elsewhere, and drawn hollow.

    detail: what tells it from others of the same label, or the program that measured; "" without need.
    """

    label: str
    points: tuple[Point, ...]
    own: bool
    reported: bool
    detail: str = ""

    @property
    def name(self) -> str:
        return f"{self.label} ({self.detail})" if self.detail else self.label


@dataclass(frozen=True)
class Scatter:
    """A point for each model: its bytes to the right, how good it is upwards. note: a line under the title."""

    title: str
    note: str
    x_axis: str
    y_axis: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Panel:
    """Tokens per second over tokens, a line for each model and program."""

    heading: str
    x_axis: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Lines:
    """Panels above one another, in which a model looks the same."""

    title: str
    note: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Bar:
    """bits: bits per weight, shown as darkness; share: of the bytes of all bars."""

    label: str
    stored: str
    bytes: int
    share: float
    bits: float


@dataclass(frozen=True)
class Bars:
    title: str
    note: str
    bars: tuple[Bar, ...]


Chart: TypeAlias = Scatter | Lines | Bars
