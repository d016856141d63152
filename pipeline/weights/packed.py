"""Weights that the base stores packed, as the tensors of plain numbers that they stand for."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError
from pipeline.release.recipe import FORMATS, Precision
from pipeline.weights.config import source_quantization
from pipeline.weights.families import BaseTensor
from pipeline.weights.headers import BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.manifest import Json
    from pipeline.weights.boxes import Shape

_FLOATS = ("BF16", "F16", "F32")
_HINT = (
    "Bases can be bfloat16, float16, float32, fp8 in blocks of 128, gpt-oss's mxfp4, a model quantized by mlx-lm, or "
    "symmetric 4-bit integers packed by compressed-tensors."
)


@dataclass(frozen=True)
class Packing:
    """One packed weight: codes of `precision` one after another along the last axis, and what they are scaled by.

    codes, scales, biases: the tensors of the base that hold them. An affine code stands for `code * scale + bias`, or,
    where there are no biases, for `(code - middle) * scale`; in the other modes mlx says what it stands for.
    beside: a tensor of the base that only repeats the shape.
    """

    precision: Precision
    codes: str
    scales: str
    biases: str | None = None
    beside: str | None = None

    @property
    def stored(self) -> tuple[str, ...]:
        return tuple(name for name in (self.codes, self.scales, self.biases, self.beside) if name)


def middle(precision: Precision) -> int:
    """The code that stands for 0 where there are no biases."""
    return 1 << (precision.bits - 1)


@dataclass(frozen=True)
class Unpacked:
    """A base as its architecture's `sanitize` is given it.

    tensors: by name and in order, the packed ones as they would be had they not been packed.
    packings: of those that are packed.
    """

    tensors: Mapping[str, BaseTensor]
    packings: Mapping[str, Packing]

    @property
    def exact(self) -> dict[str, BaseTensor]:
        """The tensors as they are unpacked: no narrower dtype holds every product of a code and a scale."""
        packed = {name: replace(self.tensors[name], dtype="F32") for name in self.packings}
        return {**self.tensors, **packed}

    def stored(self, names: Iterable[str]) -> Iterator[str]:
        """The tensors of the base behind these."""
        for name in names:
            if name in self.packings:
                yield from self.packings[name].stored
            else:
                yield name


def unpacked(config: Mapping[str, Json], stored: Mapping[str, BaseTensor]) -> Unpacked:
    """The tensors of a base without its packing.

    `BaseModelError` for a packing that is not known, and for tensors that do not fit one another.
    """
    quantization = source_quantization(config)
    if quantization is None:
        return Unpacked(stored, {})
    found = dict(_packings(quantization, stored))
    hidden = {part for packing in found.values() for part in packing.stored}
    tensors = {name: tensor for name, tensor in stored.items() if name not in hidden}
    usual = Counter(tensor.dtype for tensor in stored.values() if tensor.dtype in _FLOATS)
    for name, packing in found.items():
        shape = _shape(name, packing, stored)
        scales = stored[packing.scales].dtype
        dtype = scales if scales in _FLOATS else max(_FLOATS, key=usual.__getitem__)
        tensors[name] = BaseTensor(dtype, shape, stored[packing.codes].file)
    return Unpacked(dict(sorted(tensors.items())), found)


def check_packing(config: Mapping[str, Json]) -> None:
    """`BaseModelError` names a quantization of the base that cannot be undone here."""
    if quantization := source_quantization(config):
        dict(_packings(quantization, {}))


def _packings(quantization: Mapping[str, Json], stored: Mapping[str, BaseTensor]) -> Iterator[tuple[str, Packing]]:
    method = quantization.get("quant_method") or ("mlx" if "bits" in quantization else "an unnamed method")
    if method == "mlx":
        return _by_mlx(quantization, stored)
    if method == "compressed-tensors":
        return _by_compressed_tensors(_precision(quantization), stored)
    if method == "mxfp4":
        return _by_openai(stored)
    if method == "fp8":
        return _in_blocks(quantization)
    raise _refused(str(method))


def _by_compressed_tensors(precision: Precision, stored: Mapping[str, BaseTensor]) -> Iterator[tuple[str, Packing]]:
    for name in stored:
        stem = name.removesuffix(".weight_packed")
        if stem == name:
            continue
        if f"{stem}.weight_zero_point" in stored or f"{stem}.weight_g_idx" in stored:
            raise _refused(f"compressed-tensors with zero points or an order of groups ({stem})")
        shape = f"{stem}.weight_shape"
        beside = shape if shape in stored else None
        yield f"{stem}.weight", Packing(precision, name, f"{stem}.weight_scale", beside=beside)


def _precision(quantization: Mapping[str, Json]) -> Precision:
    """The one precision of a compressed-tensors model: what mlx-lm's architectures take for granted is looked up."""
    form = quantization.get("format")
    if form != "pack-quantized":
        raise _refused(f"compressed-tensors, format {form}")
    groups = quantization.get("config_groups")
    rows = groups.values() if isinstance(groups, dict) else ()
    weights = [row.get("weights") for row in rows if isinstance(row, dict)]
    if len(weights) != 1 or not isinstance(weights[0], dict):
        raise _refused(f"compressed-tensors with {len(weights)} groups of modules instead of one")
    wanted: dict[str, tuple[Json, ...]] = {
        "num_bits": (4,),
        "type": ("int",),
        "symmetric": (True,),
        "strategy": ("group",),
        "group_size": FORMATS["affine"].group_sizes,
        "actorder": (None, "static", "weight"),
        "dynamic": (None, False),
    }
    for key, values in wanted.items():
        if weights[0].get(key) not in values:
            raise _refused(f"compressed-tensors, {key} {weights[0].get(key)}")
    return Precision(4, int(str(weights[0]["group_size"])))


def _by_mlx(quantization: Mapping[str, Json], stored: Mapping[str, BaseTensor]) -> Iterator[tuple[str, Packing]]:
    for name in stored:
        path = name.removesuffix(".scales")
        if path == name or f"{path}.weight" not in stored:
            continue
        if f"{path}.global_scale" in stored:
            raise _refused(f"mlx with a scale for the whole tensor ({path})")
        entry = quantization.get(path)
        precision = _entry(path, entry if isinstance(entry, dict) else quantization)
        biases = f"{path}.biases" if precision.mode == "affine" else None
        yield f"{path}.weight", Packing(precision, f"{path}.weight", name, biases)


def _entry(path: str, entry: Mapping[str, Json]) -> Precision:
    bits, group_size, mode = entry.get("bits"), entry.get("group_size"), entry.get("mode", "affine")
    for name, known in FORMATS.items():
        if name == mode and bits in known.bits and group_size in known.group_sizes:
            return Precision(int(str(bits)), int(str(group_size)), name)
    raise _refused(f"mlx with {bits} bits, group size {group_size}, mode {mode} ({path})")


def _by_openai(stored: Mapping[str, BaseTensor]) -> Iterator[tuple[str, Packing]]:
    for name in stored:
        stem = name.removesuffix("_blocks")
        if stem != name:
            yield f"{stem}.weight", Packing(Precision(4, 32, "mxfp4"), name, f"{stem}_scales")


def _in_blocks(quantization: Mapping[str, Json]) -> Iterator[tuple[str, Packing]]:
    """Architectures undo fp8 themselves, in `sanitize`, and all that do take blocks of 128 for granted."""
    blocks = quantization.get("weight_block_size")
    if blocks != [128, 128]:
        raise _refused(f"fp8 in blocks of {blocks}")
    return iter(())


def _shape(name: str, packing: Packing, stored: Mapping[str, BaseTensor]) -> Shape:
    """Of the unpacked weight: that of the scales, with groups in place of each."""
    precision = packing.precision
    missing = next((part for part in packing.stored if part not in stored), None)
    if missing:
        raise BaseModelError(f"{packing.codes} has no {missing}", hint="The base model is incomplete.")
    codes, scales = stored[packing.codes], stored[packing.scales]
    *rows, groups = scales.shape or (0,)
    shape = (*rows, groups * precision.group_size)
    biases = stored[packing.biases].shape if packing.biases else scales.shape
    if (
        codes.shape[: len(rows)] != tuple(rows)
        or math.prod(codes.shape) * BITS[codes.dtype] != math.prod(shape) * precision.bits
        or biases != scales.shape
        or (scales.dtype in _FLOATS) != (precision.mode == "affine")
    ):
        raise BaseModelError(
            f"{name} is not packed as config.json says ({precision}): {codes.dtype} {list(codes.shape)} with scales "
            f"{scales.dtype} {list(scales.shape)}",
            hint="config.json may belong to another model.",
        )
    return shape


def _refused(what: str) -> BaseModelError:
    return BaseModelError(f"the base model is quantized in a way that cannot be undone: {what}", hint=_HINT)
