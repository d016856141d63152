"""Finds the precisions that lose least within a budget of bytes: a knapsack over tensor classes and layers.

What is minimised is the sum of the relative squared errors of all modules, each times its weight. How large a module is
does not count: its relative error is the noise that it adds to what it computes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.release.recipe import Decision


@dataclass(frozen=True)
class Choice:
    """error: summed over the modules of a unit and weighted."""

    decision: Decision
    nbytes: int
    error: float


@dataclass(frozen=True)
class Unit:
    """Modules that get the same precision: those of one tensor class in one layer, or outside of the layers."""

    name: str
    layer: int | None
    modules: tuple[str, ...]
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Solution:
    """choices: one for each unit, in order.

    bound: no choice of precisions within the budget has a smaller error than this.
    """

    choices: tuple[Choice, ...]
    nbytes: int
    error: float
    bound: float


def solve(units: Sequence[Unit], fixed: int, budget: int) -> Solution:
    """The best precisions found for `budget` bytes, of which `fixed` go to what is never quantized.

    Raises: UsageError when not even the smallest precisions fit, with what takes the room.
    """
    taken = [min(unit.choices, key=lambda choice: (choice.nbytes, choice.error)) for unit in units]
    left = budget - fixed - sum(choice.nbytes for choice in taken)
    if left < 0:
        raise _infeasible(units, taken, fixed, budget)
    hulls = [_hull(unit) for unit in units]
    waiting = [_step(hull, index, 0) for index, hull in enumerate(hulls) if len(hull) > 1]
    heapq.heapify(waiting)
    bound: float | None = None
    while waiting:
        slope, index, position = heapq.heappop(waiting)
        before, after = hulls[index][position], hulls[index][position + 1]
        if after.nbytes - before.nbytes <= left:
            taken[index] = after
            left -= after.nbytes - before.nbytes
            if position + 2 < len(hulls[index]):
                heapq.heappush(waiting, _step(hulls[index], index, position + 1))
        elif bound is None:
            # All steps so far were the steepest; the rest of the budget cannot buy more than at this slope.
            bound = _error(taken) + slope * left
    left = _fill(units, taken, left)
    error = _error(taken)
    return Solution(tuple(taken), budget - left, error, error if bound is None else min(bound, error))


def _error(choices: Sequence[Choice]) -> float:
    return sum(choice.error for choice in choices)


def _hull(unit: Unit) -> list[Choice]:
    """The choices worth having: every further byte buys less than the bytes before it."""
    hull: list[Choice] = []
    for choice in sorted(unit.choices, key=lambda choice: (choice.nbytes, choice.error)):
        if hull and choice.error >= hull[-1].error:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _slope(before: Choice, after: Choice) -> float:
    """Error a byte; negative."""
    return (after.error - before.error) / (after.nbytes - before.nbytes)


def _step(hull: Sequence[Choice], index: int, position: int) -> tuple[float, int, int]:
    return _slope(hull[position], hull[position + 1]), index, position


def _fill(units: Sequence[Unit], taken: list[Choice], left: int) -> int:
    """Spend what is left on single improvements, the largest first, and return what then is left."""
    while True:
        best: tuple[float, int, Choice] | None = None
        for index, unit in enumerate(units):
            for choice in unit.choices:
                gain = taken[index].error - choice.error
                if choice.nbytes - taken[index].nbytes <= left and gain > (best[0] if best else 0):
                    best = gain, index, choice
        if best is None:
            return left
        _, index, choice = best
        left -= choice.nbytes - taken[index].nbytes
        taken[index] = choice


def _infeasible(units: Sequence[Unit], taken: Sequence[Choice], fixed: int, budget: int) -> UsageError:
    smallest = fixed + sum(choice.nbytes for choice in taken)
    sizes: Counter[tuple[str, str]] = Counter()
    for unit, choice in zip(units, taken, strict=True):
        sizes[unit.name, str(choice.decision)] += choice.nbytes
    largest = ", ".join(f"{name} at {precision} takes {size:,}" for (name, precision), size in sizes.most_common(3))
    return UsageError(
        f"nothing that is allowed fits into {budget:,} bytes: the smallest possible size is {smallest:,} bytes. "
        f"Of these {largest}, and what is never quantized takes {fixed:,}",
        hint="Allow fewer bits where most bytes are, with --allow, "
        f"or raise the budget by {smallest - budget:,} bytes.",
    )
