"""Reads a `--tensor-type` list of llama.cpp's `llama-quantize` as a recipe, where names and types have a counterpart.

A pattern is searched in the names of a GGUF's tensors, such as `blk.3.ffn_down_exps.weight`; the first that is found
decides, as in llama.cpp of 2026. Here every name that has a counterpart in mlx-lm is tried, for every layer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.release.draft import Draft, DraftRule
from pipeline.release.layers import Layers
from pipeline.release.overrides import check_pair, read_list, refuse
from pipeline.release.places import Problem, did_you_mean, shown
from pipeline.release.recipe import Precision, Unquantized

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pipeline.release.overrides import Pair
    from pipeline.release.recipe import Decision

# Where a name leads: the pattern of what the module is inside of, and its own names there.
_ATTENTION = r"\.self_attn"
_DENSE = r"\.mlp"
_EXPERTS = r"\.(switch_mlp|switch_glu|experts)"
_SHARED = r"\.(shared_experts?|shared_mlp)"
_OUTSIDE: Mapping[str, tuple[str, ...]] = {"token_embd": ("embed_tokens",), "output": ("lm_head",)}
_INSIDE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "attn_q": (_ATTENTION, ("q_proj",)),
    "attn_k": (_ATTENTION, ("k_proj",)),
    "attn_v": (_ATTENTION, ("v_proj",)),
    "attn_qkv": (_ATTENTION, ("qkv_proj",)),
    "attn_output": (_ATTENTION, ("o_proj",)),
    "attn_q_a": (_ATTENTION, ("q_a_proj",)),
    "attn_q_b": (_ATTENTION, ("q_b_proj",)),
    "attn_kv_a_mqa": (_ATTENTION, ("kv_a_proj_with_mqa",)),
    "attn_kv_b": (_ATTENTION, ("kv_b_proj", "embed_q", "unembed_out")),
    "attn_k_b": (_ATTENTION, ("embed_q",)),
    "attn_v_b": (_ATTENTION, ("unembed_out",)),
    **{f"ffn_{name}": (_DENSE, (f"{name}_proj",)) for name in ("gate", "up", "down")},
    **{f"ffn_{name}_exps": (_EXPERTS, (f"{name}_proj",)) for name in ("gate", "up", "down")},
    **{f"ffn_{name}_shexp": (_SHARED, (f"{name}_proj",)) for name in ("gate", "up", "down")},
    "ffn_gate_inp": (r"\.(mlp|block_sparse_moe)", ("gate", "router")),
    "ffn_gate_inp_shexp": (_DENSE, ("shared_expert_gate",)),
}
# GGUFs since 2025 hold attn_kv_b in two; a pattern that names a half has nothing to say about the other.
_HALVES = {"attn_k_b", "attn_v_b"}
_TYPES: Mapping[str, tuple[float, Decision]] = {
    "f32": (32, Unquantized("float32")),
    "f16": (16, Unquantized("float16")),
    "bf16": (16, Unquantized("bfloat16")),
    "q8_0": (8.5, Precision(8)),
    "q6_k": (6.5625, Precision(6)),
    "q5_0": (5.5, Precision(5)),
    "q5_1": (6, Precision(5, 32)),
    "q5_k": (5.5, Precision(5)),
    "q4_0": (4.5, Precision(4)),
    "q4_1": (5, Precision(4, 32)),
    "q4_k": (4.5, Precision(4)),
    "iq4_nl": (4.5, Precision(4)),
    "iq4_xs": (4.25, Precision(4)),
    "mxfp4": (4.25, Precision(4, 32, "mxfp4")),
    "nvfp4": (4.5, Precision(4, 16, "nvfp4")),
    "q3_k": (3.4375, Precision(3)),
    "iq3_s": (3.4375, Precision(3)),
    "iq3_xxs": (3.0625, Precision(3)),
    "q2_k": (2.625, Precision(2)),
    "iq2_s": (2.5625, Precision(2)),
    "iq2_xs": (2.3125, Precision(2)),
    "iq2_xxs": (2.0625, Precision(2)),
    "tq2_0": (2.0625, Precision(2)),
    "iq1_m": (1.75, Precision(2)),
    "tq1_0": (1.6875, Precision(2)),
    "iq1_s": (1.5625, Precision(2)),
}
"""Bits a weight there, and the nearest of mlx; q4_1 and q5_1 are its own format in groups of 32."""

_MOST_LAYERS = 256
_OF_LLAMA = re.compile(r"blk|token_embd|(?<![a-z_])attn_|ffn_")


def is_tensor_types(text: str) -> bool:
    """Whether a list was written for llama.cpp, by its types or its names, rather than for mlx-lm."""
    pairs = read_list(text, "").pairs
    return any(_is_own_type(pair.value) or _OF_LLAMA.search(pair.pattern) for pair in pairs)


def import_tensor_types(text: str, file: str, layers: int | None = None, otherwise: Decision | None = None) -> Draft:
    r"""The tensor types in `text` as a recipe; `ReleaseFileError` names every line that has no counterpart.

    layers: how many the model has, which a pattern such as `blk\.([3-9]|\d\d)` needs to become layer numbers.
    otherwise: for modules that no pattern is found in; the list itself says nothing about them.
    """
    listed = read_list(text, file)
    listed.problems += [Problem(place, "is an option of mlx_lm.convert") for _, place in listed.settings.values()]
    names = list(_names(layers or _MOST_LAYERS))
    taken: set[tuple[str, int | None]] = set()
    rules: list[DraftRule] = []
    remarks = [f"Imported from {file}: tensor types of llama.cpp."]
    for pair in listed.pairs:
        decision = check_pair(pair, listed.problems, _parse_type)
        if decision is None:
            continue
        # llama-quantize folds patterns to lower case, in which all tensor names are.
        pattern = re.compile(pair.pattern.lower())
        matched = [key for name, key in names if pattern.search(name)]
        if not matched:
            listed.problems.append(Problem(pair.place, f"{_nothing(pair)}; known are {', '.join(_known())}"))
        elif taken.issuperset(matched):
            remarks.append(f"Line {pair.place.line}, {pair}, is left out: lines above it decide for all that it names.")
        else:
            taken.update(matched)
            rules += _rules(pair, decision, matched, layers, listed.problems)
    refuse(listed, file)
    why = "Asked for where this was imported." if otherwise else ""
    return Draft(f"The tensor types of {file}.", tuple(rules), otherwise, why, tuple(remarks))


def _parse_type(value: str) -> Decision:
    name = value.strip().lower()
    if name not in _TYPES:
        raise ValueError(f"{shown(value)} is no type that has a counterpart in mlx{did_you_mean(name, _TYPES)}")
    return _TYPES[name][1]


def _is_own_type(value: str) -> bool:
    return bool(re.fullmatch(r"(q|iq|tq)\d_\w+", value.strip().lower()))


def _known() -> Iterator[str]:
    yield from _OUTSIDE
    yield from (f"blk.N.{name}" for name in _INSIDE)


def _nothing(pair: Pair) -> str:
    return f"the pattern {shown(pair.pattern)} is found in no tensor name that has a counterpart in mlx-lm"


def _names(layers: int) -> Iterator[tuple[str, tuple[str, int | None]]]:
    """Every tensor name of a GGUF that has a counterpart, with its key."""
    yield from ((f"{name}.weight", (name, None)) for name in _OUTSIDE)
    for name in _INSIDE:
        yield from ((f"blk.{layer}.{name}.weight", (name, layer)) for layer in range(layers))


def _rules(
    pair: Pair,
    decision: Decision,
    matched: Iterable[tuple[str, int | None]],
    layers: int | None,
    problems: list[Problem],
) -> Iterator[DraftRule]:
    """One rule for each set of layers that a pattern names; most name one."""
    of_name: dict[str, list[int]] = {}
    for name, layer in matched:
        of_name.setdefault(name, []).extend([] if layer is None else [layer])
    of_layers: dict[Layers | None, list[str]] = {}
    for name, numbers in of_name.items():
        everywhere = name in _OUTSIDE or len(numbers) == (layers or _MOST_LAYERS)
        if not everywhere and not layers and numbers[-1] == _MOST_LAYERS - 1:
            what = f"the pattern {shown(pair.pattern)} has no end of layers; say how many the model has with --layers"
            problems.append(Problem(pair.place, what))
            return
        of_layers.setdefault(None if everywhere else Layers.of(numbers), []).append(name)
    bits = f"{_TYPES[pair.value.strip().lower()][0]:g} bits a weight"
    why = f"Asked for by {pair} on line {pair.place.line} of {pair.place.file}; {bits} there, {decision} here."
    for chosen, names in of_layers.items():
        yield DraftRule(_match(names), chosen, decision, why)


def _match(names: Collection[str]) -> str:
    """A pattern for the modules of mlx-lm that these names lead to."""
    patterns: list[str] = []
    inside: dict[str, dict[str, None]] = {}
    for name in names:
        if name in _OUTSIDE:
            patterns += [f"{module}$" for module in _OUTSIDE[name]]
        else:
            parent, leaves = _INSIDE[name]
            if name == "attn_kv_b" and not _HALVES.isdisjoint(names):
                leaves = leaves[:1]
            inside.setdefault(parent, {}).update(dict.fromkeys(leaves))
    for parent, children in inside.items():
        own = "|".join(children)
        patterns.append(rf"{parent}\.({own})$" if len(children) > 1 else rf"{parent}\.{own}$")
    return "|".join(patterns)
