"""What a person writes in a recipe: every key, its type, its default and its meaning."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from pipeline.release.fields import Count, Name, Pattern, Ranges, Text, Written
from pipeline.release.places import shown
from pipeline.release.recipe import FORMATS, Decision, Dtype, Method, Mode, Precision, Unquantized


class Choice(Written):
    """What modules get: a precision (`bits`, `group_size`, `mode`), or a `dtype` to stay unquantized."""

    mode: Mode = Field(default="affine", description="How groups of weights are stored.")
    bits: int | None = Field(
        default=None,
        title="whole number",
        description="Bits of a weight: 2, 3, 4, 5, 6 or 8. Only mode affine needs it; the others have one each.",
    )
    group_size: int | None = Field(
        default=None,
        title="whole number",
        description="Weights that share a scale: 64 (default), 32 or 128; 32 in mxfp4 and mxfp8, 16 in nvfp4.",
    )
    method: Method = Field(
        default="round",
        description="How scales and biases are found: `round` takes the range of each group, as mlx does; `search`, in "
        "mode affine only, takes those of least squared error.",
    )
    dtype: Dtype | None = Field(
        default=None, validate_default=True, description="Leave unquantized, stored in this type."
    )

    @field_validator("bits")
    @classmethod
    def _bits_exist(cls, bits: int | None, info: ValidationInfo) -> int | None:
        return _known(bits, FORMATS[info.data["mode"]].bits, info) if "mode" in info.data else bits

    @field_validator("group_size")
    @classmethod
    def _group_size_exists(cls, group_size: int | None, info: ValidationInfo) -> int | None:
        return _known(group_size, FORMATS[info.data["mode"]].group_sizes, info) if "mode" in info.data else group_size

    @field_validator("method")
    @classmethod
    def _method_fits(cls, method: Method, info: ValidationInfo) -> Method:
        mode = info.data.get("mode", "affine")
        if method != "round" and mode != "affine":
            raise ValueError(f"must be `round` in mode {mode}: only mode affine has scales and biases to search for")
        return method

    @field_validator("dtype")
    @classmethod
    def _either_precision_or_dtype(cls, dtype: Dtype | None, info: ValidationInfo) -> Dtype | None:
        quantized = [key for key in ("bits", "group_size") if info.data.get(key)]
        if info.data.get("mode", "affine") != "affine":
            quantized.append("mode")
        if info.data.get("method", "round") != "round":
            quantized.append("method")
        if dtype and quantized:
            raise ValueError(f"leaves modules unquantized, so it cannot stand beside `{'` and `'.join(quantized)}`")
        if not dtype and info.data.get("mode") == "affine" and info.data.get("bits", 0) is None:
            raise ValueError("is missing: say either `bits`, or a `dtype` to leave modules unquantized")
        return dtype

    @property
    def decision(self) -> Decision:
        if self.dtype:
            return Unquantized(self.dtype)
        known = FORMATS[self.mode]
        return Precision(self.bits or known.bits[0], self.group_size or known.group_sizes[0], self.mode, self.method)


class WrittenRule(Choice):
    """One of a recipe's `rules`; the first that matches a module decides for it."""

    match: Pattern = Field(description="Found anywhere in the module's path, by Python's `re.search`.")
    layers: Ranges | None = Field(default=None, description="Only in these layers, both ends included.")
    why: Text = Field(description="The reason, printed on the card.")


class Fallback(Choice):
    """What modules get that no rule matches and for which the architecture has no wish of its own."""

    why: Text | None = Field(default=None, description="The reason, printed on the card.")


def _parse_otherwise(value: object, info: ValidationInfo) -> Fallback | Literal["error"] | None:
    match value:
        case None if info.data.get("extends", "") is None:
            raise ValueError("is missing: say what modules get that no rule matches, or `error` to refuse them")
        case None:
            return None
        case "error":
            return "error"
        case dict():
            return Fallback.model_validate(value)
    raise ValueError(f"must be `error`, or keys such as `bits: 4`, not {shown(value)}")


Otherwise: TypeAlias = Annotated[
    Fallback | Literal["error"] | None,
    PlainValidator(_parse_otherwise),
    Field(title="`error`, or keys"),
]


class WrittenRecipe(Written):
    """`releases/recipes/NAME.yaml`, as written: what it `extends` is not yet looked up."""

    version: Count = Field(description="Raised whenever the recipe changes.")
    summary: Text = Field(description="What the recipe is good for, in a sentence or two.")
    extends: Name | None = Field(
        default=None, description="Another recipe to build on: its rules come after this one's own."
    )
    rules: tuple[WrittenRule, ...] = Field(default=(), description="In order; the first rule that matches decides.")
    otherwise: Otherwise = Field(
        default=None,
        validate_default=True,
        description="What modules get that no rule matches; with `extends` it may be left out, and the parent's holds.",
    )


def _known(value: int | None, allowed: tuple[int, ...], info: ValidationInfo) -> int | None:
    if value is not None and value not in allowed:
        *most, last = map(str, sorted(allowed))
        names = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"must be {names} in mode {info.data['mode']}, not {value}")
    return value
