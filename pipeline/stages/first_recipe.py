"""The recipe that a new release begins with: one of the repository that was made for such a model, or a new one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from pipeline.errors import ReleaseFileError, UsageError
from pipeline.release.find import recipe_names
from pipeline.release.load import load_recipe
from pipeline.release.macs import MACS, usable
from pipeline.release.mixed import LEVELS, is_expert, propose_mixed, usual
from pipeline.release.recipe import assign

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.release.draft import Draft
    from pipeline.release.mixed import Level
    from pipeline.release.recipe import Assignment, Decision, Module, Precision
    from pipeline.weights.base import BaseModel
    from pipeline.weights.layout import Layout

_SHARD = 5_000_000_000
LARGEST = usable(max(MACS))
"""Bytes that the largest Mac's GPU may use as macOS is delivered."""


@dataclass(frozen=True)
class FirstRecipe:
    """draft: None for a recipe that is there already; also: the names of others that would do."""

    name: str
    draft: Draft | None
    assignment: Assignment
    layout: Layout
    also: tuple[str, ...] = ()

    @property
    def uniform(self) -> Decision | None:
        """What every module gets, where all get the same."""
        kinds = {one.precision for one in self.assignment.modules}
        return kinds.pop() if len(kinds) == 1 else None


def named_recipe(root: Path, base: BaseModel, modules: Sequence[Module], name: str) -> FirstRecipe:
    """Raises: ReleaseFileError when it does not fit the model."""
    assignment = assign(load_recipe(root, name), modules)
    return FirstRecipe(name, None, assignment, _layout(base, assignment))


def fitting_recipe(root: Path, base: BaseModel, modules: Sequence[Module]) -> FirstRecipe | None:
    """The one with most bits that runs on a Mac, of those whose rules decide about every module of the model."""
    found = sorted(_fitting(root, modules), key=_bytes, reverse=True)
    if not found:
        return None
    chosen = next((one for one in found if _bytes(one) <= LARGEST), found[-1])
    also = tuple(one.recipe.name for one in found if one is not chosen)
    return FirstRecipe(chosen.recipe.name, None, chosen, _layout(base, chosen), also)


def new_recipe(
    root: Path, base: BaseModel, modules: Sequence[Module], budget: int | None, remarks: Sequence[str]
) -> FirstRecipe:
    """The best that the model is worth and that fits the budget, or without one the memory of a Mac.

    Raises: UsageError when not even the smallest fits the budget.
    """
    from pipeline.weights.architecture import model_dtype

    held, dtype = _held(base, modules), model_dtype(base)

    def at(level: Level) -> tuple[Draft, Assignment]:
        draft = propose_mixed(modules, level, held, dtype, remarks)
        return draft, assign(draft.recipe("proposal"), modules)

    levels = LEVELS if budget else LEVELS[LEVELS.index(usual(modules)) :]
    limit = budget or LARGEST
    for level in levels:
        draft, assignment = at(level)
        if _bytes(assignment) > limit and level is not levels[-1]:
            continue
        planned = _layout(base, assignment)
        if planned.nbytes <= limit:
            break
        if level is levels[-1] and budget:
            raise UsageError(
                f"no recipe of `pipeline init` brings the weights below {planned.nbytes:,} bytes, and --budget is "
                f"{budget:,}",
                hint="Raise it, or write a recipe of your own and name it with --recipe.",
            )
    return FirstRecipe(_free_name(root, base, planned), draft, assignment, planned)


def _fitting(root: Path, modules: Sequence[Module]) -> Iterator[Assignment]:
    for name in recipe_names(root):
        try:
            assignment = assign(load_recipe(root, name), modules)
        except ReleaseFileError:
            continue
        if assignment.recipe.rules and all(one.by != "otherwise" for one in assignment.modules):
            yield assignment


def _bytes(assignment: Assignment) -> float:
    """Of what the recipe decides about, a little less than all tensors take."""
    bits = (math.prod(one.module.shape) * one.precision.bits_per_weight for one in assignment.modules)
    return sum(bits) / 8


def _layout(base: BaseModel, assignment: Assignment) -> Layout:
    from pipeline.weights.layout import layout

    return layout(base, assignment.precisions, _SHARD)


def _held(base: BaseModel, modules: Sequence[Module]) -> dict[str, Precision]:
    """What modules are packed in already; experts that are packed one by one are stacked by their architecture."""
    from pipeline.weights.packed import unpacked

    packings = unpacked(base.config, base.tensors).packings
    paths = [module.path for module in modules if f"{module.path}.weight" in packings]
    own = {path: packings[f"{path}.weight"].precision for path in paths}
    experts = {packing.precision for name, packing in packings.items() if re.search(r"\.experts\b", name)}
    if len(experts) != 1:
        return own
    [precision] = experts
    return {module.path: precision for module in modules if is_expert(module)} | own


def _free_name(root: Path, base: BaseModel, planned: Layout) -> str:
    stem = f"{base.repo.partition('/')[2].lower().lstrip('_')}-{planned.bits_per_weight:.1f}bit"
    taken = recipe_names(root)
    return next(name for number in count(1) if (name := stem if number == 1 else f"{stem}-{number}") not in taken)
