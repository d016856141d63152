"""Every figure with how it was measured: what `evidence.json` holds and the card prints."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from pipeline.errors import PipelineError
from pipeline.evidence_form import misfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed import DataclassInstance

    from pipeline.manifest import Json

Subject = Literal["base", "quantized"]
Source = Literal["measured", "reported"]
Text: TypeAlias = "str | bytes"
T = TypeVar("T", bound="DataclassInstance")
SCHEMA = 1
HARNESS = "pipeline"
_DEEPEST = 32
_TOO_DEEP = "it is nested too deeply"
_LONGEST = 40
_NOTHING = type(None)
# What the fields of dataclasses that are read back may be declared as, and what JSON has to hold for each.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "no text"),
    "bool": ((bool,), "neither true nor false"),
    "int": ((int,), "no whole number"),
    "float": ((int, float), "no number"),
    "str | None": ((str, _NOTHING), "no text"),
    "int | None": ((int, _NOTHING), "no whole number"),
    "BaseCard | None": ((dict, _NOTHING), "no JSON object"),
    "Mapping[str, Json]": ((dict,), "no JSON object"),
    "Mapping[str, str]": ((dict,), "no JSON object of texts"),
    "Sequence[int]": ((list,), "no list of whole numbers"),
    "Source": ((str,), f"none of {', '.join(get_args(Source))}"),
}


@dataclass(frozen=True)
class Measurement:
    """One measure of one model.

    measure: "perplexity", "divergence", "weight_error", "generation", "serving", "speed".
    subject: "base" or "quantized", a `Subject`; or the name of another model whose figures were imported.
    weights: SHA-256 of the manifest of the model folder that was measured; "" when another program measured.
    values: what came out; settings: what would change it (text digest, windows, seed, prompts, backend, dtype).
    source: "measured" here, or "reported" elsewhere and taken over.
    """

    measure: str
    subject: str
    weights: str
    values: Mapping[str, Json]
    settings: Mapping[str, Json]
    tools: Mapping[str, str]
    machine: Mapping[str, Json]
    measured_at: str
    source: Source = "measured"

    @property
    def harness(self) -> str:
        """The program that measured: a setting, so that figures of two programs never have the same settings."""
        return str(self.settings.get("harness", HARNESS))

    @property
    def imported(self) -> bool:
        """Whether it was taken over: every such figure names its program, and none that is measured here does."""
        return "harness" in self.settings


@dataclass(frozen=True)
class Evidence:
    measurements: tuple[Measurement, ...] = ()

    def find(self, measure: str, subject: str) -> Measurement | None:
        for measurement in self.measurements:
            if measurement.measure == measure and measurement.subject == subject:
                return measurement
        return None

    def merged(self, others: Iterable[Measurement]) -> Evidence:
        """With `others`, each in the place of one that was taken of the same model in the same way."""
        measurements = {identity(one): one for one in self.measurements}
        measurements |= {identity(one): one for one in others}
        return Evidence(tuple(measurements.values()))

    def to_json(self) -> str:
        return dump({"schema": SCHEMA, "measurements": [asdict(m) for m in self.measurements]})

    @classmethod
    def from_json(cls, text: Text, name: str = "evidence.json") -> Evidence:
        """The evidence that `to_json` wrote; `PipelineError` that names the file for what something else wrote."""
        try:
            return cls(_fitting(each(Measurement, opened(text, ("measurements",)), "measurements")))
        except (TypeError, ValueError) as error:
            raise PipelineError(
                f"{name} does not hold evidence: {error}",
                hint="It is written by `pipeline`; restore it from git or make it again.",
            ) from None


def dump(value: object) -> str:
    """JSON as it is committed: one value a line, sorted, so that a review shows what moved."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def opened(text: Text, required: Iterable[str]) -> dict[str, Any]:
    """The object that `dump` wrote; TypeError or ValueError say in words what is wrong with anything else."""
    try:
        value = json.loads(text, parse_float=_finite, parse_int=_whole, parse_constant=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} in line {error.lineno}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(value, _DEEPEST)
    return complete(value, required, "it")


def built(kind: type[T], value: object, what: str) -> T:
    """The dataclass that `asdict` made `value` of; errors as in `opened`."""
    known = fields(kind)
    row = complete(value, [field.name for field in known if field.default is MISSING], what)
    if unknown := sorted(row.keys() - {field.name for field in known}):
        raise ValueError(f"{what} has `{'`, `'.join(unknown)}`, which this pipeline does not know")
    check_kinds(kind, row, f" of {what}")
    return kind(**row)


def check_kinds(kind: type[DataclassInstance], row: Mapping[str, object], of: str = "") -> None:
    """TypeError that names the first value which is not what the field of its name is declared as."""
    for field in fields(kind):
        if field.name in row and str(field.type) in _KINDS:
            wanted, otherwise = _KINDS[str(field.type)]
            value = row[field.name]
            inner = {"Mapping[str, str]": str, "Sequence[int]": int}.get(str(field.type))
            fits = isinstance(value, wanted) and (not isinstance(value, bool) or bool in wanted)
            if fits and inner and isinstance(value, dict | list):
                fits = all(type(one) is inner for one in (value.values() if isinstance(value, dict) else value))
            if not fits or (field.type == "Source" and value not in get_args(Source)):
                raise TypeError(f"`{field.name}`{of} is {otherwise}")


def each(kind: type[T], row: Mapping[str, object], key: str) -> tuple[T, ...]:
    """Like `built` for every one of a list, which may be missing."""
    values = row.get(key, [])
    if not isinstance(values, list):
        raise TypeError(f"`{key}` is no list")
    return tuple(built(kind, value, f"number {count} of `{key}`") for count, value in enumerate(values, 1))


def complete(value: object, required: Iterable[str], what: str) -> dict[str, Any]:
    """`value` as the object that it has to be, with what is required of it; errors as in `opened`."""
    if not isinstance(value, dict):
        raise TypeError(f"{what} is no JSON object")
    if missing := [key for key in required if key not in value]:
        raise ValueError(f"{what} has no `{'`, `'.join(missing)}`")
    return value


def identity(measurement: Measurement) -> str:
    """What was measured and how. A command line only says in words what the other settings say."""
    settings = {key: value for key, value in measurement.settings.items() if key != "command"}
    return json.dumps([measurement.measure, measurement.subject, settings], sort_keys=True)


def _fitting(measurements: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    for count, one in enumerate(measurements, 1):
        if wrong := misfit(one.measure, one.values, one.settings):
            raise ValueError(f"number {count} of `measurements`, {one.measure}: {wrong}")
    return measurements


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{_shown(text)} is no finite number")
    return value


def _whole(text: str) -> int:
    """Nothing that is counted comes near to where a float ends, nor does Python read any number of digits."""
    _finite(text)
    return int(text)


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _check_depth(value: object, left: int) -> None:
    """Whatever walks through it takes a step of Python's stack, or several, for each level."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inside and not left:
        raise ValueError(_TOO_DEEP)
    for one in inside:
        _check_depth(one, left - 1)
