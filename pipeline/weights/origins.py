"""What every parameter is made of, traced on one layer of each kind: a trace of 200,000 tensors takes half a minute."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import mlx.core as mx

from pipeline.errors import BaseModelError
from pipeline.weights.architecture import SAFETENSORS, model_dtype, parameters_of, sanitize_of
from pipeline.weights.base import weight_files
from pipeline.weights.packed import unpacked
from pipeline.weights.slabs import can_slice
from pipeline.weights.trace import leaves, looks_at_values, placeholders, run_sanitize, trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.weights.architecture import Model
    from pipeline.weights.base import BaseModel
    from pipeline.weights.boxes import Shape
    from pipeline.weights.families import BaseTensor
    from pipeline.weights.packed import Unpacked
    from pipeline.weights.trace import Node, Trace

    Contents: TypeAlias = set[tuple[str, str, Shape]]
    Files: TypeAlias = frozenset[str]

_NUMBER = re.compile(r"(?:^|(?<=\.))\d+(?=\.|$)")


@dataclass(frozen=True, slots=True)
class Origin:
    """A parameter as `sanitize` yields it, before any cast.

    files: of the base that it is made from.
    whole: whether it cannot be computed in slabs and takes the memory of the whole tensor.
    """

    dtype: str
    shape: Shape
    files: Files
    whole: bool


class _Layer(NamedTuple):
    """The first number in the names of some tensors, with what stands before it."""

    before: str
    number: str


def origins(model: Model, base: BaseModel) -> dict[str, Origin]:
    """The origin of everything that `sanitize` makes of the base for the model.

    Layers that hold the same tensors are taken to be treated alike, and only the first of them is traced. Where that
    does not yield exactly the model's parameters, everything is traced; where `sanitize` looks at values and so
    cannot be traced, every parameter is made whole from all files.
    """
    sanitize = sanitize_of(model)
    own = parameters_of(model)
    alike, sample = _alike(base.tensors)
    source = unpacked(base.config, sample, own)
    if len(sample) < len(base.tensors) and (traced := trace(sanitize, source.tensors)):
        found = dict(_spread(traced, alike, base, source))
        if found.keys() == own.keys():
            return found
    source = unpacked(base.config, base.tensors, own)
    if traced := trace(sanitize, source.tensors):
        return {name: _origin(array, traced.node(name), base, source) for name, array in traced.outputs.items()}
    outputs = _untraced(model, base, source)
    return {name: _origin(array, None, base, source) for name, array in outputs.items()}


def _untraced(model: Model, base: BaseModel, source: Unpacked) -> Mapping[str, mx.array]:
    """What `sanitize` makes of placeholders; where it looks at their values and refuses them, what it has to make."""
    try:
        return run_sanitize(sanitize_of(model), placeholders(source.tensors))
    except BaseModelError:
        if not looks_at_values(sanitize_of(model), source.tensors):
            raise
        dtype = getattr(mx, model_dtype(base))
        own = parameters_of(model)
        return {
            n: array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array for n, array in own.items()
        }


def _layer(name: str) -> _Layer | None:
    number = _NUMBER.search(name)
    return _Layer(name[: number.start()], number[0]) if number else None


def _renumbered(name: str, number: str) -> str:
    return _NUMBER.sub(number, name, count=1)


def _alike(tensors: Mapping[str, BaseTensor]) -> tuple[dict[_Layer, dict[str, Files]], dict[str, BaseTensor]]:
    """The first layer of each kind, with the files of every layer of its kind by number; and a sample to trace.

    The sample holds the tensors of these first layers and those that belong to none.
    """
    contents: dict[_Layer, Contents] = defaultdict(set)
    files: dict[_Layer, set[str]] = defaultdict(set)
    layers = [_layer(name) for name in tensors]
    for layer, (name, tensor) in zip(layers, tensors.items(), strict=True):
        if layer:
            contents[layer].add((name[len(layer.before) + len(layer.number) :], tensor.dtype, tensor.shape))
            files[layer].add(tensor.file)
    kinds: dict[tuple[str, frozenset[tuple[str, str, Shape]]], list[_Layer]] = defaultdict(list)
    for layer in sorted(contents, key=lambda layer: int(layer.number)):
        kinds[layer.before, frozenset(contents[layer])].append(layer)
    alike = {kind[0]: {layer.number: frozenset(files[layer]) for layer in kind} for kind in kinds.values()}
    pairs = zip(layers, tensors.items(), strict=True)
    return alike, dict(item for layer, item in pairs if layer is None or layer in alike)


def _spread(
    traced: Trace, alike: Mapping[_Layer, Mapping[str, Files]], base: BaseModel, source: Unpacked
) -> Iterator[tuple[str, Origin]]:
    """What was found of one layer, for all that are like it; it ends at a parameter that mixes layers."""
    for name, array in traced.outputs.items():
        node = traced.node(name)
        if node is None:
            return
        origin = _origin(array, node, base, source)
        stored = list(source.stored(leaves(node)))
        layers = {layer for leaf in stored if (layer := _layer(leaf))}
        layer, own = layers.pop() if layers else None, _layer(name)
        if layer is None:
            yield name, origin
            continue
        if layers or own is None or own.number != layer.number:
            return
        shared = frozenset(base.tensors[leaf].file for leaf in stored if not _layer(leaf))
        own_leaves = [leaf for leaf in stored if _layer(leaf)]
        for number, held in alike[layer].items():
            theirs = (base.tensors[_renumbered(leaf, number)].file for leaf in own_leaves)
            files = held if len(held) == 1 else frozenset(theirs)
            yield _renumbered(name, number), replace(origin, files=shared | files)


def _origin(array: mx.array, node: Node | None, base: BaseModel, source: Unpacked) -> Origin:
    """node: the graph of the parameter, where it has one."""
    if node is None:
        files = frozenset(weight_files(base.files))
    else:
        files = frozenset(base.tensors[name].file for name in source.stored(leaves(node)))
    return Origin(SAFETENSORS[array.dtype], tuple(array.shape), files, whole=node is None or not can_slice(node))
