"""What `mlx_lm.convert` would make of a base model, found by its own steps on placeholders instead of weights."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import mlx.core as mx
from mlx.nn.layers.quantized import quantize
from mlx.utils import tree_flatten

from pipeline.errors import BaseModelError
from pipeline.release.recipe import Precision, Unquantized
from pipeline.weights.architecture import MX, SAFETENSORS, build_model, parameters_of
from pipeline.weights.cache import measure_cache
from pipeline.weights.config import cast_dtype
from pipeline.weights.origins import origins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.manifest import Json
    from pipeline.release.recipe import Decision
    from pipeline.weights.architecture import Model
    from pipeline.weights.base import BaseModel
    from pipeline.weights.boxes import Shape
    from pipeline.weights.cache import Cache
    from pipeline.weights.origins import Origin

Kind: TypeAlias = "tuple[str, Shape]"
"""The dtype, in the words of safetensors, and the shape of a tensor."""

# Typed names for what mlx leaves untyped.
_flatten = cast("Callable[..., list[tuple[str, Any]]]", tree_flatten)
_quantize_layers: Callable[..., None] = quantize


@dataclass(frozen=True)
class Converted:
    """The model in mlx-lm's memory, without its weights.

    parameters: what there is to quantize, cast already; tensors: what there is to save. Both in mlx-lm's order.
    quantization: the block of config.json, one entry for every quantized module.
    total_parameters, bits_per_weight: as mlx-lm counts them.
    cache: what running it takes beside the weights; None when that cannot be known.
    keeps_vision: whether the model has a vision tower, which config.json then goes on describing.
    """

    origins: Mapping[str, Origin] = field(repr=False)
    parameters: Mapping[str, Kind]
    tensors: Mapping[str, Kind]
    quantization: dict[str, Json]
    total_parameters: int
    bits_per_weight: float
    cache: Cache | None
    keeps_vision: bool


def convert(base: BaseModel, decisions: Mapping[str, Decision]) -> Converted:
    """Load, cast and quantize placeholders; `BaseModelError` when the tensors do not fit the architecture."""
    model = build_model(base.config)
    made = origins(model, base)
    _load(model, base, made)
    _cast(model, base, decisions)
    parameters = _kinds(model)
    _check_plain(parameters, decisions)
    count = _count(model)
    quantization = _quantize(model, decisions, parameters)
    return Converted(
        origins=made,
        parameters=parameters,
        tensors=_kinds(model),
        quantization=quantization,
        total_parameters=count,
        bits_per_weight=_nbytes(model) * 8 / count,
        cache=measure_cache(model),
        keeps_vision="vision_tower" in getattr(model, "model", {}),
    )


def _kinds(model: Model) -> dict[str, Kind]:
    return {name: (SAFETENSORS[array.dtype], tuple(array.shape)) for name, array in parameters_of(model).items()}


def _count(model: Model) -> int:
    """Of the unquantized model, as `mlx_lm.utils.get_total_parameters` counts: what modules without others hold."""
    leaves = _flatten(model.leaf_modules(), is_leaf=lambda value: hasattr(value, "leaf_modules"))
    return sum(array.size for _, leaf in leaves for _, array in _flatten(leaf.parameters()))


def _nbytes(model: Model) -> int:
    """As `mlx_lm.utils.compute_bits_per_weight` adds up: with arrays that are no parameters, such as frequencies."""
    return sum(array.nbytes for _, array in _flatten(model) if isinstance(array, mx.array))


def _load(model: Model, base: BaseModel, made: Mapping[str, Origin]) -> None:
    weights = [(name, mx.zeros(origin.shape, dtype=MX[origin.dtype])) for name, origin in made.items()]
    try:
        model.load_weights(weights, strict=True)
    except ValueError as error:
        message = " ".join(str(error).split())
        raise BaseModelError(
            f"the tensors of {base.repo} are not those of a {base.config['model_type']}: {message[:300]}",
            hint="Its weights are incomplete, or config.json belongs to another model.",
        ) from error


def _is_floating(array: mx.array) -> bool:
    return bool(mx.issubdtype(array.dtype, mx.floating))


def _cast(model: Model, base: BaseModel, decisions: Mapping[str, Decision]) -> None:
    everywhere = cast_dtype(base.config)
    concerns = getattr(model, "cast_predicate", lambda _name: True)
    changed = []
    for name, array in parameters_of(model).items():
        decision = decisions.get(name.rpartition(".")[0])
        dtype = everywhere if concerns(name) else None
        if isinstance(decision, Unquantized):
            dtype = decision.dtype
        if dtype and _is_floating(array):
            changed.append((name, array.astype(getattr(mx, dtype))))
    model.load_weights(changed, strict=False)


def _check_plain(parameters: Mapping[str, Kind], decisions: Mapping[str, Decision]) -> None:
    """Shapes may fit although the architecture took over codes as if they were weights."""
    for path in decisions:
        dtype, _ = parameters[f"{path}.weight"]
        if not mx.issubdtype(MX[dtype], mx.floating):
            raise BaseModelError(
                f"{path} is stored as {dtype}, and mlx-lm's architecture does not unpack it",
                hint="Name a base model that is not quantized.",
            )


def _quantize(model: Model, decisions: Mapping[str, Decision], parameters: Mapping[str, Kind]) -> dict[str, Json]:
    """Quantize placeholders and return config.json's block: on top what most weights have, then every module."""
    weights: Counter[Precision] = Counter()
    for path, decision in decisions.items():
        if isinstance(decision, Precision):
            weights[decision.form] += math.prod(parameters[f"{path}.weight"][1])
    if not weights:
        return {}
    top = _entry(weights.most_common(1)[0][0])
    quantization: dict[str, Json] = {**top}

    def decide(path: str, _module: object) -> dict[str, int | str] | bool:
        decision = decisions.get(path)
        if not isinstance(decision, Precision):
            return False
        entry = _entry(decision)
        quantization[path] = {**entry}
        return entry

    try:
        _quantize_layers(model, **top, class_predicate=decide)
    except (ValueError, TypeError) as error:
        raise BaseModelError(f"mlx cannot quantize this model as the recipe says: {error}") from error
    return quantization


def _entry(precision: Precision) -> dict[str, int | str]:
    return {"group_size": precision.group_size, "bits": precision.bits, "mode": precision.mode}
