"""Which module of a model gets which precision, and which rule of the recipe decided it."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipeline.errors import ReleaseFileError
from pipeline.release.layers import layer_class, layer_of
from pipeline.release.places import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.manifest import Json
    from pipeline.release.layers import Layers
    from pipeline.release.places import Place

Mode = Literal["affine", "mxfp4", "nvfp4", "mxfp8"]
Method = Literal["round", "search"]
Dtype = Literal["bfloat16", "float16", "float32"]


@dataclass(frozen=True)
class Format:
    """What mlx's `quantize` accepts in one mode; the first group size is the default.

    overhead: bits that every group adds to its weights (affine: a 16-bit scale and a 16-bit bias, others: a byte).
    """

    bits: tuple[int, ...]
    group_sizes: tuple[int, ...]
    overhead: int


FORMATS: Mapping[Mode, Format] = {
    "affine": Format((2, 3, 4, 5, 6, 8), (64, 32, 128), 32),
    "mxfp4": Format((4,), (32,), 8),
    "nvfp4": Format((4,), (16,), 8),
    "mxfp8": Format((8,), (32,), 8),
}


@dataclass(frozen=True)
class Precision:
    """method: how scales and biases are found; it changes the weights but neither their format nor config.json."""

    bits: int
    group_size: int = 64
    mode: Mode = "affine"
    method: Method = "round"

    @property
    def form(self) -> Precision:
        """What is in the files, however the scales were found."""
        return replace(self, method="round")

    @property
    def bits_per_weight(self) -> float:
        """Stored bits for each weight, scales and biases included, for a model in bfloat16 or float16."""
        return self.bits + FORMATS[self.mode].overhead / self.group_size

    def __str__(self) -> str:
        stored = f"{self.bits} bit g{self.group_size}" if self.mode == "affine" else self.mode
        return stored if self.method == "round" else f"{stored} {self.method}"

    def to_json(self) -> dict[str, Json]:
        # Left out where it is the default, so that recipes from before there was a choice keep their digest.
        method: dict[str, Json] = {} if self.method == "round" else {"method": self.method}
        return {"bits": self.bits, "group_size": self.group_size, "mode": self.mode, **method}


@dataclass(frozen=True)
class Unquantized:
    dtype: Dtype

    @property
    def bits_per_weight(self) -> float:
        return 32.0 if self.dtype == "float32" else 16.0

    def __str__(self) -> str:
        return self.dtype

    def to_json(self) -> dict[str, Json]:
        return {"dtype": self.dtype}


Decision: TypeAlias = "Precision | Unquantized"


@dataclass(frozen=True)
class Module:
    """A module that can be quantized.

    shape: of its weight; the last axis is the input dimension, which groups divide.
    architecture: what the model's own `quant_predicate` wishes; it holds unless a rule names the module.
    """

    path: str
    shape: tuple[int, ...]
    architecture: Decision | None = None


@dataclass(frozen=True)
class Rule:
    """Modules whose path `match` is found in, within `layers` when given, get `decision`, because `why`."""

    match: str
    layers: Layers | None
    decision: Decision
    why: str
    place: Place

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.match)

    def matches(self, path: str) -> bool:
        if not self._pattern.search(path):
            return False
        return self.layers is None or layer_of(path) in self.layers

    def __str__(self) -> str:
        return f"`{self.match}`" + (f" in layers {self.layers}" if self.layers else "")


@dataclass(frozen=True)
class Recipe:
    """A recipe whose `extends` is resolved: own rules first, then the parent's. First match wins.

    otherwise: for modules that no rule matches; None refuses to have any. extends: names, the parent's first.
    """

    name: str
    version: int
    summary: str
    rules: tuple[Rule, ...]
    otherwise: Decision | None
    otherwise_why: str
    place: Place
    extends: tuple[str, ...] = ()

    def decisions(self) -> dict[str, Json]:
        """What the weights depend on: patterns, layers and precisions in order; no word of prose, no line number."""
        return {
            "rules": [
                {"match": rule.match, "layers": str(rule.layers) if rule.layers else None, **rule.decision.to_json()}
                for rule in self.rules
            ],
            "otherwise": self.otherwise.to_json() if self.otherwise else "error",
        }

    def words(self) -> dict[str, Json]:
        """What the card depends on besides the decisions."""
        return {
            "name": self.name,
            "version": self.version,
            "summary": self.summary,
            "why": [rule.why for rule in self.rules],
            "otherwise": self.otherwise_why,
        }

    @property
    def digest(self) -> str:
        """SHA-256 over the decisions: equal for recipes that make the same weights, however they are worded."""
        return hashlib.sha256(json.dumps(self.decisions(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Assigned:
    """One module's precision; `by` is the index of the deciding rule in the recipe's `rules`."""

    module: Module
    precision: Decision
    by: int | Literal["otherwise", "architecture"]


@dataclass(frozen=True)
class Assignment:
    """What every module gets, in the order in which the modules came."""

    recipe: Recipe
    modules: tuple[Assigned, ...]

    @property
    def precisions(self) -> dict[str, Decision]:
        return {assigned.module.path: assigned.precision for assigned in self.modules}

    @property
    def counts(self) -> tuple[int, ...]:
        """How many modules each rule of the recipe decided; zero for a parent's rule that this recipe overrides."""
        by = Counter(assigned.by for assigned in self.modules)
        return tuple(by[index] for index in range(len(self.recipe.rules)))


def assign(recipe: Recipe, modules: Sequence[Module]) -> Assignment:
    """Decide for every module; `ReleaseFileError` holds every problem between this recipe and this model at once."""
    assigned: list[Assigned] = []
    unmatched: list[Module] = []
    takers: dict[int, Counter[int]] = {index: Counter() for index in range(len(recipe.rules))}
    for module in modules:
        matching = [index for index, rule in enumerate(recipe.rules) if rule.matches(module.path)]
        for index in matching:
            takers[index][matching[0]] += 1
        if matching:
            assigned.append(Assigned(module, recipe.rules[matching[0]].decision, matching[0]))
        elif module.architecture:
            assigned.append(Assigned(module, module.architecture, "architecture"))
        elif recipe.otherwise:
            assigned.append(Assigned(module, recipe.otherwise, "otherwise"))
        else:
            unmatched.append(module)
    problems = [
        *_idle_rules(recipe, takers),
        *_absent_layers(recipe, modules),
        *_impossible_groups(recipe, assigned),
        *_unmatched(recipe, unmatched),
    ]
    if problems:
        raise ReleaseFileError(
            tuple(str(problem) for problem in sorted(problems)),
            hint="Rules match the module paths of mlx-lm, which docs/release-files.md explains.",
        )
    return Assignment(recipe, tuple(assigned))


def _idle_rules(recipe: Recipe, takers: Mapping[int, Counter[int]]) -> Iterator[Problem]:
    """Rules that decide nothing. A parent's rule may be overridden whole: that is what extending is for."""
    for index, rule in enumerate(recipe.rules):
        if not takers[index]:
            yield Problem(rule.place, f"the rule {rule} matches no module of this model; remove or correct it")
        elif index not in takers[index]:
            earlier = [recipe.rules[taker] for taker in sorted(takers[index])]
            if all(other.place.file == rule.place.file for other in earlier):
                by = ", ".join(f"{other} on line {other.place.line}" for other in earlier)
                total = takers[index].total()
                yield Problem(
                    rule.place,
                    f"the rule {rule} never decides: {_count(total)} that it matches "
                    f"{'is' if total == 1 else 'are'} taken by {by}; move it up or remove it",
                )


def _absent_layers(recipe: Recipe, modules: Sequence[Module]) -> Iterator[Problem]:
    last = max((layer for module in modules if (layer := layer_of(module.path)) is not None), default=None)
    for rule in recipe.rules:
        absent = rule.layers.after(last) if rule.layers and last is not None else None
        if absent and absent.ranges:
            yield Problem(rule.place, f"names layers {absent}, but the last layer of this model is {last}")


def _impossible_groups(recipe: Recipe, assigned: Iterable[Assigned]) -> Iterator[Problem]:
    """One problem for each decision and input dimension, however many modules share it."""
    seen: dict[tuple[Place, Precision, int], list[Assigned]] = {}
    for one in assigned:
        dimension = one.module.shape[-1]
        if isinstance(one.precision, Precision) and dimension % one.precision.group_size:
            place = recipe.rules[one.by].place if isinstance(one.by, int) else recipe.place
            seen.setdefault((place, one.precision, dimension), []).append(one)
    for (place, precision, dimension), group in seen.items():
        others = f" and {len(group) - 1} more" if len(group) > 1 else ""
        wish = " (the architecture's own wish; a rule may override it)" if group[0].by == "architecture" else ""
        yield Problem(
            place,
            f"group size {precision.group_size} does not divide the input dimension {dimension} of "
            f"{group[0].module.path}{others}{wish}; {_what_fits(precision.mode, dimension)}",
        )


def _what_fits(mode: Mode, dimension: int) -> str:
    sizes = [str(size) for size in sorted(FORMATS[mode].group_sizes) if dimension % size == 0]
    if sizes:
        return f"group size {' or '.join(sizes)} would work"
    modes = [name for name, known in FORMATS.items() if any(dimension % size == 0 for size in known.group_sizes)]
    if modes:
        return f"no group size of {mode} fits, but mode {' or '.join(modes)} would work"
    return "no group size fits: leave it unquantized with `dtype: bfloat16`"


def _unmatched(recipe: Recipe, modules: Sequence[Module]) -> Iterator[Problem]:
    if modules:
        classes = Counter(layer_class(module.path) for module in modules)
        names = ", ".join(f"{name} ({count})" for name, count in sorted(classes.items())[:10])
        more = f" and {len(classes) - 10} more classes" if len(classes) > 10 else ""
        yield Problem(
            recipe.place,
            f"no rule matches {_count(len(modules))}: {names}{more}; add a rule, or a precision under `otherwise`",
        )


def _count(modules: int) -> str:
    return "the only module" if modules == 1 else f"{modules} modules"
