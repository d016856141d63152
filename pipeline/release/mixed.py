"""A mixed recipe for a model that has none: more bits where errors spread, fewer where most of the weights are.

Nothing is measured. The names and shapes of the modules say what each is for, and how many bits that deserves is what
those who quantize for mlx and llama.cpp have learned. No rule names a module that its own architecture wishes something
for, so that these wishes hold.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pipeline.release.draft import Draft, DraftRule
from pipeline.release.layers import Layers, layer_class, layer_of
from pipeline.release.patterns import pattern_of
from pipeline.release.recipe import FORMATS, Precision, Unquantized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.release.recipe import Decision, Dtype, Module

Role: TypeAlias = Literal[
    "head",
    "tied",
    "embedding",
    "outside",
    "attention",
    "narrow",
    "shared",
    "output",
    "experts_output",
    "body",
    "experts",
    "held",
]


class Level(NamedTuple):
    """bits: of the matrices that hold most of the weights.

    finer: in which layers those among them that write into the residual stream have one step more: in the first and the
    last eighth of the layers, in every third one between as well, as mlx-lm's own mixed recipes do it, or in all.
    around: everything else gets what goes with that many bits.
    """

    bits: int
    finer: Literal["ends", "third", "all"]
    around: int


_LESS = {8: 6, 6: 5, 5: 4, 4: 3, 3: 2, 2: 2}

LEVELS = tuple(
    level
    for bits, less in _LESS.items()
    for level in (
        Level(bits, "all", bits),
        Level(bits, "third", bits),
        Level(bits, "ends", bits),
        *([Level(bits, "ends", less)] if less < bits else []),
    )
)
"""From the best to the smallest."""

USUAL = Level(4, "third", 4)
FOR_SMALL = Level(5, "third", 5)
"""For models that do not bear 4 bits."""

_SMALL = 1_000_000_000  # docs/evaluation.md shows what 4 bits do to a model of 135 million weights
_NARROW = 0.01

_HEAD = re.compile(r"lm_head|head|output|embed_out|output_layer|ff_out")
_EMBEDDING = re.compile(r"embed|emb$|wte|wpe")
_ATTENTION = re.compile(r"(^|[._])(attn|attention)(\.|$)|\.temporal_block\.")
_EXPERT = re.compile(r"(^|\.)experts\.\d+\.")
_OUTPUT = re.compile(r"down_proj|w2|fc2|c_proj|dense_4h_to_h|fc_out|linear_out|out_proj|ff_out")

_MORE = {less: bits for bits, less in _LESS.items()} | {2: 3, 8: 8}
_DENSE_ATTENTION = {8: 8, 6: 8, 5: 6, 4: 6, 3: 5, 2: 4}

_WHY: Mapping[Role, str] = {
    "head": "Its errors reach the probabilities of the next token unfiltered.",
    "tied": "In this model the table is also the output head, so its errors count twice.",
    "embedding": "A lookup of rows, of which every token uses one; coarse steps hurt it less than a matrix product.",
    "outside": "It stands outside of the layers, where every token passes.",
    "attention": "Every token passes through it, and errors in it spread to all later tokens.",
    "narrow": "Less than a hundredth of the weights, so fewer bits would save nothing.",
    "shared": "Unlike the routed experts it works on every token, and it is small beside them.",
    "output": "What it puts out is added to the residual stream as it is.",
    "experts_output": "What an expert puts out is added to the residual stream as it is.",
    "body": "Most of the weights, so this is where saved bits count.",
    "experts": "Most of the weights. A token uses few of the experts in a layer, so their errors average out.",
    "held": "The base itself holds them in this precision, and they are taken as they are.",
}
"""In the order in which the rules stand in a recipe."""

_FINER = {
    "ends": " The first and the last layers matter most.",
    "third": " The first and the last layers matter most; of those between, every third one is kept finer.",
    "all": "",
}
_NO_GROUP = "Its rows cannot be cut into groups, since no group size divides their length."


def propose_mixed(
    modules: Sequence[Module], level: Level, held: Mapping[str, Precision], dtype: Dtype, remarks: Sequence[str]
) -> Draft:
    """The recipe at one level: `assign` accepts it for these modules, and every one of its rules decides something.

    held: what modules are stored in already, by path. Where as many bits or more would be asked for, they are left so.
    dtype: of modules whose input dimension no group size divides.
    """
    roles = _roles(modules)
    finer = _finer(roles, level)
    experts = has_experts(modules)
    classes: dict[str, list[Module]] = defaultdict(list)
    for module in modules:
        classes[layer_class(module.path)].append(module)
    groups: dict[tuple[Role, bool, Decision, str], list[str]] = defaultdict(list)
    for path, role in roles.items():
        name = layer_class(path)
        bits = _bits(role, level, experts=experts, more=path in finer)
        kept = _kept(classes[name], bits, held)
        parent = name.rpartition(".")[0]
        if kept:
            groups["held", False, kept, parent].append(path)
        else:
            groups[role, path in finer, _decision(classes[name], bits, dtype), parent].append(path)
    order = list(_WHY)
    ordered = sorted(groups.items(), key=lambda each: (order.index(each[0][0]), not each[0][1], len(each[1])))
    rules, left, every = [], [module.path for module in modules], [module.path for module in modules]
    for (role, more, decision, _), paths in ordered:
        why = _WHY[role] + (_FINER[level.finer] if more else "")
        rules.append(_rule(paths, left, every, decision, _NO_GROUP if isinstance(decision, Unquantized) else why))
        left = [path for path in left if path not in set(paths)]
    return Draft(_summary(experts=experts), tuple(rules), None, remarks=tuple(remarks))


def usual(modules: Sequence[Module]) -> Level:
    """What such a model bears well."""
    return FOR_SMALL if sum(math.prod(module.shape) for module in modules) < _SMALL else USUAL


def has_experts(modules: Sequence[Module]) -> bool:
    return any(is_expert(module) for module in modules)


def is_expert(module: Module) -> bool:
    """Whether only some tokens use it. Experts are stacked along a first axis, as the heads of some attention are."""
    path = module.path
    stacked = len(module.shape) == 3 and layer_of(path) is not None and not _ATTENTION.search(path)
    return stacked or bool(_EXPERT.search(path))


def _roles(modules: Sequence[Module]) -> dict[str, Role]:
    """By path; modules whose architecture wishes something for them that can be done have none."""
    weights = Counter[str]()
    for module in modules:
        weights[layer_class(module.path)] += math.prod(module.shape)
    narrow = {name for name, count in weights.items() if count < _NARROW * weights.total()}
    outside = [module for module in modules if layer_of(module.path) is None]
    tables = [module for module in outside if _EMBEDDING.search(_last(module)) and not _HEAD.fullmatch(_last(module))]
    table = max(tables, key=lambda module: module.shape[0], default=None)
    tied = table if table and not any(_HEAD.fullmatch(_last(module)) for module in outside) else None
    hidden = table.shape[-1] if table else 0
    experts = has_experts(modules)

    def role(module: Module) -> Role:
        if layer_of(module.path) is None:
            if _HEAD.fullmatch(_last(module)):
                return "head"
            return "tied" if module is tied else "embedding" if module in tables else "outside"
        if _ATTENTION.search(module.path):
            return "attention"
        writes = bool(_OUTPUT.fullmatch(_last(module))) or module.shape[-2] == hidden != module.shape[-1]
        if is_expert(module):
            return "experts_output" if writes else "experts"
        if layer_class(module.path) in narrow:
            return "narrow"
        return "shared" if experts else "output" if writes else "body"

    return {module.path: role(module) for module in modules if module.architecture is None or not _possible(module)}


def _finer(roles: Mapping[str, Role], level: Level) -> set[str]:
    """The modules that have a step more than the others of their class, by their place among those."""
    classes: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, role in roles.items():
        if role in {"output", "experts_output"}:
            classes[layer_class(path)][layer_of(path) or 0].append(path)
    found = set[str]()
    for layers in classes.values():
        ends = max(1, len(layers) // 8)
        for index, layer in enumerate(sorted(layers)):
            at_end = index < ends or index >= len(layers) - ends
            if level.finer == "all" or at_end or (level.finer == "third" and (index - ends) % 3 == 2):
                found.update(layers[layer])
    return found


def _bits(role: Role, level: Level, *, experts: bool, more: bool) -> int:
    if role in {"body", "output", "experts", "experts_output"}:
        return _MORE[level.bits] if more else level.bits
    if role == "attention" and not experts:
        return _DENSE_ATTENTION[level.around]
    if role == "embedding":
        return max(level.around, 6 if level.around >= 4 else 4)
    return 8 if experts or level.around >= 4 else 6


def _kept(alike: Sequence[Module], bits: int, held: Mapping[str, Precision]) -> Precision | None:
    """What a tensor class is stored in already, where that is no more than `bits`."""
    stored = {held.get(module.path) for module in alike}
    only = stored.pop() if len(stored) == 1 else None
    return only if only and only.bits <= bits else None


def _decision(alike: Sequence[Module], bits: int, dtype: Dtype) -> Decision:
    """For a tensor class, so that one rule can say it."""
    inputs = math.gcd(*(module.shape[-1] for module in alike))
    size = next((size for size in FORMATS["affine"].group_sizes if inputs % size == 0), None)
    return Precision(bits, size) if size else Unquantized(dtype)


def _possible(module: Module) -> bool:
    wish = module.architecture
    return not isinstance(wish, Precision) or module.shape[-1] % wish.group_size == 0


def _rule(wanted: Sequence[str], left: Sequence[str], paths: Sequence[str], decision: Decision, why: str) -> DraftRule:
    """One that takes just these of the modules that earlier rules have `left`."""
    names = {layer_class(path) for path in wanted}
    match = pattern_of({path for path in paths if layer_class(path) in names}, paths)
    others = {path for path in left if layer_class(path) in names} - set(wanted)
    if not others:
        return DraftRule(match, None, decision, why)
    layers = {layer_of(path) for path in wanted}
    if layers.isdisjoint(layer_of(path) for path in others):
        return DraftRule(match, Layers.of(layer for layer in layers if layer is not None), decision, why)
    return DraftRule(pattern_of(set(wanted), paths), None, decision, why)


def _summary(*, experts: bool) -> str:
    if experts:
        return "More bits for what every token passes, fewer for the routed experts, which hold most of the weights."
    return "More bits for embeddings and attention, fewer for the feed-forward layers, which hold most of the weights."


def _last(module: Module) -> str:
    return module.path.rpartition(".")[2]
