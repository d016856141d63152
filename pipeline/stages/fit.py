"""Whether a result fits where it is wanted, and if not, what would have to give way."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from pipeline.card.figures import byte_size, grouped, percent
from pipeline.errors import DoesNotFit
from pipeline.release import macs
from pipeline.release.layers import layer_class
from pipeline.release.recipe import FORMATS, Precision, Unquantized
from pipeline.release.written import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.release.recipe import Assigned, Decision
    from pipeline.release.schema import Fit
    from pipeline.weights.layout import Layout

_STEP = 1024


@dataclass(frozen=True)
class Relaxation:
    """One tensor class, so far in `before`, one precision step lower."""

    name: str
    before: Decision
    after: Precision
    saves: int

    def __str__(self) -> str:
        return f"{self.name} from {self.before} to {self.after} saves {byte_size(self.saves)}"


def fits(layout: Layout, fit: Fit) -> bool:
    return not any(_excesses(layout, fit))


def check_fit(layout: Layout, modules: Sequence[Assigned], fit: Fit | None, where: str) -> None:
    """`DoesNotFit` unless the result is as small as `fit` asks; `where` names the file that asks it."""
    excesses = list(_excesses(layout, fit)) if fit else []
    if not fit or not excesses:
        return
    raise DoesNotFit(
        f"the result does not fit what {where} asks for: {'; '.join(sentence for sentence, _ in excesses)}",
        hint=_hint(layout, modules, fit, max(over for _, over in excesses)),
    )


def relaxations(modules: Sequence[Assigned]) -> list[Relaxation]:
    """For every tensor class what its next lower precision would save, least first."""
    weights: Counter[tuple[str, Decision]] = Counter()
    inputs: dict[tuple[str, Decision], int] = {}
    for one in modules:
        key = layer_class(one.module.path), one.precision
        weights[key] += math.prod(one.module.shape)
        inputs[key] = math.gcd(inputs.get(key, 0), one.module.shape[-1])
    found = []
    for (name, before), count in weights.items():
        if after := _lower(before, inputs[name, before]):
            saves = math.floor(count * (before.bits_per_weight - after.bits_per_weight) / 8)
            found.append(Relaxation(name, before, after, saves))
    return sorted(found, key=lambda each: (each.saves, each.name))


def cheapest(modules: Sequence[Assigned], over: int) -> tuple[Relaxation, ...]:
    """The one step that saves `over` bytes with the least to spare, else the fewest that do together; else none."""
    steps = relaxations(modules)
    for step in steps:
        if step.saves >= over:
            return (step,)
    steps.reverse()
    for count, saved in enumerate(accumulate(step.saves for step in steps), 1):
        if saved >= over:
            return tuple(steps[:count])
    return ()


def usable(fit: Fit) -> int | None:
    """Bytes that the weights, their cache and everything beside them may take together."""
    if not fit.memory:
        return None
    return macs.usable(fit.memory) if fit.usable is None else math.floor(fit.memory * fit.usable)


def _excesses(layout: Layout, fit: Fit) -> Iterator[tuple[str, int]]:
    """Every limit that is passed: a sentence, and by how many bytes."""
    if fit.size is not None and layout.nbytes > fit.size:
        over = layout.nbytes - fit.size
        yield f"its weights are {_exact(layout.nbytes)}, {_exact(over)} over `size: {format_size(fit.size)}`", over
    room = usable(fit)
    if room is None:
        return
    cache = layout.cache.nbytes(fit.context) if fit.context and layout.cache else 0
    if fit.context and not layout.cache:
        yield f"how much the cache of {grouped(fit.context)} tokens takes is not known for this architecture", 0
    wanted = layout.nbytes + cache + (fit.beside or 0)
    if wanted > room:
        parts = [f"{_exact(layout.nbytes)} of weights"]
        parts += [f"{_exact(cache)} of cache for {grouped(fit.context)} tokens"] if fit.context and cache else []
        parts += [f"{format_size(fit.beside)} beside"] if fit.beside else []
        yield (
            f"{' + '.join(parts)} are {_exact(wanted - room)} over the {_exact(room)} that the GPU may use",
            wanted - room,
        )


def _hint(layout: Layout, modules: Sequence[Assigned], fit: Fit, over: int) -> str:
    if not over:
        return "Leave fit.context out, and try on the machine itself."
    most = layout.classes[0]
    share = percent(most.nbytes / layout.nbytes)
    hint = f"Most bytes are in {most.name} at {most.precision}: {byte_size(most.nbytes)}, {share} of the weights."
    if steps := cheapest(modules, over):
        hint += f" The least that helps: {' and '.join(map(str, steps))}."
    else:
        hint += " Not even every class one precision step lower would save enough."
    if longest := _longest_context(layout, fit):
        hint += f" Or ask for a context of {grouped(longest)} tokens."
    return hint


def _longest_context(layout: Layout, fit: Fit) -> int:
    """The longest shorter context that fits as everything else is, in whole thousands; 0 when there is none."""
    room = usable(fit)
    if not fit.context or not layout.cache or room is None or (fit.size is not None and layout.nbytes > fit.size):
        return 0
    left = room - layout.nbytes - (fit.beside or 0)
    low, high = 0, fit.context // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if layout.cache.nbytes(middle * _STEP) <= left else (low, middle - 1)
    return low * _STEP


def _lower(decision: Decision, inputs: int) -> Precision | None:
    """The next lower precision that mlx has in this mode, for weights whose input dimensions `inputs` divides."""
    if isinstance(decision, Unquantized):
        group_size = next((size for size in FORMATS["affine"].group_sizes if inputs % size == 0), None)
        return Precision(8, group_size) if group_size else None
    if decision.mode == "mxfp8":
        return Precision(4, 32, "mxfp4")
    lower = [bits for bits in FORMATS[decision.mode].bits if bits < decision.bits]
    return replace(decision, bits=max(lower)) if lower else None


def _exact(count: int) -> str:
    """More digits than usual, because a budget may be missed by little."""
    return f"{count / 1e9:,.2f} GB" if count >= 10**8 else byte_size(count)
