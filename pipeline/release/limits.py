"""Limits that are written with a unit of their own: an increase of perplexity, and memory at a context."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from pipeline.release.places import shown
from pipeline.release.written import format_size, format_tokens, parse_size, parse_tokens

Unit = Literal["%", "points", "errors"]

_INCREASE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(%|points?|errors?)", re.ASCII)
_MEMORY = re.compile(r"(?P<size>.+?)\s+at\s+(?P<context>.+)")


@dataclass(frozen=True)
class Increase:
    """amount: a fraction for "%", perplexity itself for "points", standard errors of the difference for "errors"."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, value: object) -> Increase:
        found = _INCREASE.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise ValueError(
                f"must be an increase with its unit, such as `10 %`, `0.3 points` or `2 errors`, not {shown(value)}"
            )
        unit = next(unit for unit in get_args(Unit) if unit.startswith(found[2].removesuffix("s")))
        return cls(float(Decimal(found[1]) / (100 if unit == "%" else 1)), unit)

    def __str__(self) -> str:
        amount = f"{self.amount * (100 if self.unit == '%' else 1):.10g}"
        return f"{amount} {self.unit.removesuffix('s') if amount == '1' else self.unit}"


@dataclass(frozen=True)
class MemoryAt:
    """Bytes of weights and cache together, with `context` tokens read."""

    nbytes: int
    context: int

    @classmethod
    def parse(cls, value: object) -> MemoryAt:
        found = _MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise ValueError(f"must be memory at a context, such as `400 GB at 128k`, not {shown(value)}")
        return cls(parse_size(found["size"]), parse_tokens(found["context"]))

    def __str__(self) -> str:
        return f"{format_size(self.nbytes)} at {format_tokens(self.context)}"
