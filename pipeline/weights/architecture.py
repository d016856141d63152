"""The mlx-lm model class of a base model, built without weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, cast

import mlx.core as mx
from mlx.utils import tree_flatten

from pipeline.errors import BaseModelError
from pipeline.release.recipe import FORMATS, Module, Precision, Unquantized
from pipeline.weights.config import cast_dtype
from pipeline.weights.mlx_lm_models import model_classes
from pipeline.weights.packed import check_packing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.manifest import Json
    from pipeline.release.recipe import Decision, Dtype, Mode
    from pipeline.weights.base import BaseModel

    Sanitize = Callable[[dict[str, mx.array]], dict[str, mx.array]]

MX = {
    "BOOL": mx.bool_,
    "U8": mx.uint8,
    "I8": mx.int8,
    "F8_E4M3": mx.uint8,
    "F8_E8M0": mx.uint8,
    "U16": mx.uint16,
    "I16": mx.int16,
    "F16": mx.float16,
    "BF16": mx.bfloat16,
    "U32": mx.uint32,
    "I32": mx.int32,
    "F32": mx.float32,
    "U64": mx.uint64,
    "I64": mx.int64,
    "C64": mx.complex64,
}
"""What `mx.load` makes of each dtype of the safetensors format; the others it refuses."""

SAFETENSORS = {dtype: name for name, dtype in MX.items() if not name.startswith("F8")}


class Layer(Protocol):
    """A module of an mlx-lm model that has weights of its own."""

    weight: mx.array


class Model(Protocol):
    """What this room asks of an mlx-lm model, whose own classes are untyped.

    Some also have `sanitize`, `quant_predicate` and `cast_predicate`.
    """

    def eval(self) -> Model: ...

    def leaf_modules(self) -> dict[str, Any]: ...

    def parameters(self) -> dict[str, Any]: ...

    def load_weights(self, weights: list[tuple[str, mx.array]], strict: bool = True) -> Model: ...


class Wish(TypedDict, total=False):
    """The arguments of `to_quantized`, as an architecture's `quant_predicate` answers them."""

    bits: int
    group_size: int
    mode: Mode


def build_model(config: Mapping[str, Json]) -> Model:
    """The model with lazy parameters that nobody has to evaluate, none of them quantized, whatever the base is.

    `BaseModelError` when mlx-lm has no such model, and when the base is quantized in an unknown way.
    """
    check_packing(config)
    if "model_file" in config:
        raise BaseModelError(
            f"the base model brings its own model code ({config['model_file']})",
            hint="Only architectures that mlx-lm has can be released.",
        )
    if "model_type" not in config:
        raise BaseModelError("config.json names no model_type", hint="mlx-lm finds the architecture by it.")
    try:
        model_class, arguments_class = model_classes(config)
        model: Model = model_class(arguments_class.from_dict(copy.deepcopy(dict(config))))
    except (ValueError, TypeError, KeyError) as error:
        raise BaseModelError(
            f"mlx-lm cannot build the model type {config['model_type']!r} from config.json: {error}",
            hint="A newer mlx-lm may know it; `pip install` the release of mlx-lm that pipeline pins.",
        ) from error
    return model.eval()


def parameters_of(model: Model) -> dict[str, mx.array]:
    """By name, in mlx-lm's order."""
    return dict(cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters())))


def sanitize_of(model: Model) -> Sanitize:
    """The architecture's own function from the tensors of a base to the parameters of the model."""
    return getattr(model, "sanitize", lambda weights: weights)


def quantizable(model: Model) -> Iterator[tuple[str, Layer]]:
    """The modules that can be quantized by path, in the order in which mlx-lm meets them."""
    leaves = tree_flatten(model.leaf_modules(), is_leaf=lambda value: hasattr(value, "leaf_modules"))
    for path, module in cast("list[tuple[str, Layer]]", leaves):
        if hasattr(module, "to_quantized"):
            yield path, module


def modules(base: BaseModel) -> tuple[Module, ...]:
    """What a recipe decides about: every module that can be quantized, and what the architecture itself wishes."""
    model = build_model(base.config)
    wish = getattr(model, "quant_predicate", None)
    dtype = model_dtype(base)
    return tuple(
        Module(path, tuple(module.weight.shape), _wished(wish(path, module), dtype) if wish else None)
        for path, module in quantizable(model)
    )


def model_dtype(base: BaseModel) -> Dtype:
    """What unquantized weights are stored in: config.json's dtype, else that of most weights of the base."""
    names: dict[str, Dtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
    wanted = cast_dtype(base.config)
    for name in names.values():
        if name == wanted:
            return name
    floating = [tensor.dtype for tensor in base.tensors.values() if tensor.dtype in names]
    return names[max(names, key=floating.count)]


def _wished(answer: Wish | bool | None, dtype: Dtype) -> Decision | None:
    """Where a wish leaves an argument out, mlx's default for it holds."""
    if isinstance(answer, dict):
        mode = answer.get("mode", "affine")
        group_size = answer.get("group_size") or FORMATS[mode].group_sizes[0]
        return Precision(answer.get("bits") or (8 if mode == "mxfp8" else 4), group_size, mode)
    return None if answer else Unquantized(dtype)
