"""Which precisions are considered for a module when a recipe is solved for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.release.layers import layer_of
from pipeline.release.overrides import parse_value
from pipeline.release.places import shown
from pipeline.release.recipe import Precision, Unquantized
from pipeline.release.written import check_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.release.recipe import Decision, Dtype, Module

USUAL = (Precision(2), Precision(3), Precision(4), Precision(5), Precision(6), Precision(8))


@dataclass(frozen=True)
class Allowed:
    """Modules whose path `match` is found in may get these."""

    match: str
    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class Weighted:
    """The errors of modules whose path `match` is found in count so many times."""

    match: str
    weight: float


def parse_allowed(text: str) -> Allowed:
    """`switch_mlp=2 3 4,32 bf16`: a pattern, and what is allowed where it is found."""
    match, values = _apart(text, "--allow")
    try:
        decisions = tuple(dict.fromkeys(parse_value(value) for value in values.split()))
    except ValueError as error:
        raise UsageError(f"--allow {shown(text)}: a value {error}") from None
    if not decisions:
        raise UsageError(f"--allow {shown(text)} names no precision")
    return Allowed(match, decisions)


def parse_weighted(text: str) -> Weighted:
    """`lm_head=4`."""
    match, value = _apart(text, "--weight")
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value.strip(), re.ASCII):
        raise UsageError(f"--weight {shown(text)} must end in a number, such as `lm_head=4`")
    return Weighted(match, float(value))


def candidates(module: Module, allowed: Sequence[Allowed], dtype: Dtype) -> tuple[Decision, ...]:
    """The first that is allowed for this module by name; else its architecture's wish; else the usual ones.

    dtype: what it is stored in when it is left unquantized.
    Raises: UsageError when no allowed group size divides its input dimension.
    """
    named = next((one.decisions for one in allowed if re.search(one.match, module.path)), None)
    if named is None:
        named = (module.architecture,) if module.architecture else (*USUAL, Unquantized(dtype))
    fitting = tuple(decision for decision in named if _fits(decision, module.shape[-1]))
    if not fitting:
        raise UsageError(
            f"no precision that is allowed for {module.path} fits its input dimension {module.shape[-1]}",
            hint="Allow a smaller group size, such as `4,32`, or bf16.",
        )
    return fitting


def weight_of(path: str, weighted: Sequence[Weighted], layers: int) -> float:
    """How much the errors of a module count.

    One of `layers` adds only its part to what flows through all of them; the embedding and the head touch it whole.
    """
    usual = layers if layer_of(path) is None else 1
    return next((one.weight for one in weighted if re.search(one.match, path)), float(usual))


def _fits(decision: Decision, dimension: int) -> bool:
    return isinstance(decision, Unquantized) or dimension % decision.group_size == 0


def _apart(text: str, option: str) -> tuple[str, str]:
    match, equals, values = text.rpartition("=")
    if not equals or not match:
        raise UsageError(f"{option} must be PATTERN=VALUES, such as `switch_mlp=2 3 4`, not {shown(text)}")
    try:
        return check_pattern(match), values
    except ValueError as error:
        raise UsageError(f"{option} {shown(text)}: the pattern {error}") from None
