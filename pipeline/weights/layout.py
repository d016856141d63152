"""The whole result of a quantization before a weight is read: every tensor, its place in its shard, and the texts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.release.layers import layer_class
from pipeline.release.recipe import Precision
from pipeline.weights.architecture import MX, build_model, parameters_of, sanitize_of
from pipeline.weights.config import released
from pipeline.weights.converted import convert
from pipeline.weights.packed import unpacked
from pipeline.weights.shards import arrange, divide, index_json, nbytes, shard_name
from pipeline.weights.trace import trace as trace_sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.release.recipe import Decision
    from pipeline.weights.base import BaseModel
    from pipeline.weights.boxes import Shape
    from pipeline.weights.cache import Cache
    from pipeline.weights.converted import Converted
    from pipeline.weights.headers import Tensor
    from pipeline.weights.origins import Origin
    from pipeline.weights.packed import Unpacked
    from pipeline.weights.trace import Node, Trace

_PARTS = ("weight", "scales", "biases")


@dataclass(frozen=True)
class Piece:
    """What becomes of one parameter of the model within one shard.

    module: the path of the module that it belongs to.
    dtype: what it is cast to before anything else, in the words of safetensors.
    parts: what `mx.quantize` returns (weight, scales and, in affine mode, biases), or without a precision the cast
    parameter alone; None stands for a part that another shard holds.
    """

    parameter: str
    shape: Shape
    dtype: str
    precision: Precision | None
    parts: tuple[Tensor | None, ...]

    @property
    def module(self) -> str:
        return self.parameter.rpartition(".")[0]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Shard:
    """One output file: its first bytes, its tensors in file order, and what they are made of."""

    name: str
    header: bytes = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    pieces: tuple[Piece, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return len(self.header) + sum(tensor.nbytes for tensor in self.tensors)


@dataclass(frozen=True)
class TensorClass:
    """A row of the table by tensor class: how many weights of the model, in how many bytes of the shards."""

    name: str
    precision: str
    parameters: int
    nbytes: int


@dataclass(frozen=True)
class Layout:
    """Everything about the result that does not depend on a weight's value.

    nbytes: of all tensors, headers not counted; parameters, bits_per_weight: as mlx-lm counts them.
    config, index: the texts of config.json and model.safetensors.index.json.
    cache: what running the model takes beside its weights; None when its cache is of a kind that mlx-lm does not know.
    keeps_vision: whether it still sees; mlx-lm drops the vision tensors of most models.
    origins: what every parameter is made of.
    """

    base: BaseModel
    shards: tuple[Shard, ...]
    nbytes: int
    parameters: int
    bits_per_weight: float
    classes: tuple[TensorClass, ...]
    config: str = field(repr=False)
    index: str = field(repr=False)
    cache: Cache | None = field(repr=False)
    keeps_vision: bool
    origins: Mapping[str, Origin] = field(repr=False)

    def memory(self, context: int) -> int | None:
        """Bytes to run the model with `context` tokens read: all weights and its cache; None when that is unknown.

        What a computation holds for a moment comes on top.
        """
        return self.nbytes + self.cache.nbytes(context) if self.cache else None

    def needs(self, shard: Shard) -> frozenset[str]:
        """The base files that the shard is made from."""
        return frozenset[str]().union(*(self.origins[piece.parameter].files for piece in shard.pieces))

    @property
    def whole(self) -> frozenset[str]:
        """The parameters that take the memory of the whole tensor, since they cannot be computed in slabs."""
        pieces = (piece.parameter for shard in self.shards for piece in shard.pieces)
        return frozenset(name for name in pieces if self.origins[name].whole)

    @cached_property
    def source(self) -> Unpacked:
        """The base without its packing."""
        return unpacked(self.base.config, self.base.tensors, parameters_of(build_model(self.base.config)))

    @cached_property
    def trace(self) -> Trace | None:
        """None when the architecture's `sanitize` looks at values; then every parameter is computed whole."""
        return trace_sanitize(sanitize_of(build_model(self.base.config)), self.source.tensors)

    def graphs(self, shard: Shard) -> dict[str, Node | None]:
        """Every parameter in the shard as a graph over the base; None for those of which no slab can be built."""
        trace = self.trace
        return {piece.parameter: trace.node(piece.parameter) if trace else None for piece in shard.pieces}


def layout(base: BaseModel, decisions: Mapping[str, Decision], shard_size: int) -> Layout:
    """Plan the quantization of `base`; `decisions` by module path, as `assign` makes them, `shard_size` in bytes."""
    converted = convert(base, decisions)
    names = list(converted.tensors)
    ranges = divide([nbytes(*kind) for kind in converted.tensors.values()], shard_size)
    shards: list[Shard] = []
    for number, part in enumerate(ranges, 1):
        file = shard_name(number, len(ranges))
        held = names[part.start : part.stop]
        header, tensors = arrange(file, [(name, *converted.tensors[name]) for name in held])
        pieces = _pieces(held, {tensor.name: tensor for tensor in tensors}, decisions, converted)
        shards.append(Shard(file, header, tensors, pieces))
    total = sum(nbytes(*kind) for kind in converted.tensors.values())
    return Layout(
        base=base,
        shards=tuple(shards),
        nbytes=total,
        parameters=converted.total_parameters,
        bits_per_weight=converted.bits_per_weight,
        classes=_classes(shards),
        config=released(base.config, converted.quantization, keep_vision=converted.keeps_vision),
        index=index_json(
            [tensor for shard in shards for tensor in shard.tensors],
            total_size=total,
            total_parameters=converted.total_parameters,
        ),
        cache=converted.cache,
        keeps_vision=converted.keeps_vision,
        origins=converted.origins,
    )


def _pieces(
    names: Sequence[str], tensors: Mapping[str, Tensor], decisions: Mapping[str, Decision], converted: Converted
) -> tuple[Piece, ...]:
    """In mlx-lm's order; a module whose weight and scales fall into two shards is a piece of both."""
    pieces: dict[str, Piece] = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        precision = decisions.get(module)
        if isinstance(precision, Precision) and leaf in _PARTS:
            parameter = f"{module}.weight"
            parts = [f"{module}.{part}" for part in _PARTS if f"{module}.{part}" in converted.tensors]
        else:
            parameter, precision, parts = name, None, [name]
        dtype, shape = converted.parameters[parameter]
        pieces[parameter] = Piece(parameter, shape, dtype, precision, tuple(tensors.get(part) for part in parts))
    return tuple(pieces.values())


def _classes(shards: Sequence[Shard]) -> tuple[TensorClass, ...]:
    """Most bytes first. A parameter counts where its first part lies, so that a module cut in two counts once."""
    rows: dict[tuple[str, str], tuple[int, int]] = {}
    for piece in (piece for shard in shards for piece in shard.pieces):
        key = layer_class(piece.module), str(piece.precision or str(MX[piece.dtype]).removeprefix("mlx.core."))
        parameters, size = rows.get(key, (0, 0))
        rows[key] = (
            parameters + (piece.elements if piece.parts[0] else 0),
            size + sum(part.nbytes for part in piece.parts if part),
        )
    classes = [TensorClass(*key, *row) for key, row in rows.items()]
    return tuple(sorted(classes, key=lambda row: (-row.nbytes, row.name)))
