"""What a decoder layer gave out for one batch, kept in a file, so that the next layer can go on from it at any time."""

from __future__ import annotations

import json
import operator
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import mlx.core as mx
from mlx.nn.layers.base import Module

from pipeline.errors import BaseModelError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.manifest import Json

_CALL, _FORM, _RESUMED, _WHOLE = "call", "form", "resumed", "whole"
_MODELS = "mlx_lm.models."


@dataclass(frozen=True)
class State:
    """call: how many calls of a layer came before the one that gave out `output`.

    resumed: calls before it were skipped; whole: the next call needs nothing else that calls before it left.
    """

    call: int
    output: object
    resumed: bool = False
    whole: bool = True


def save(path: Path, state: State, *, durable: bool = True) -> None:
    """Replace `path` by one rename; `BaseModelError` for an output that is not made of floating arrays.

    durable: it shall outlive not only the process but a power cut.
    """
    arrays: list[mx.array] = []
    form = json.dumps(_form(state.output, arrays))
    if other := next((array.dtype for array in arrays if not mx.issubdtype(array.dtype, mx.floating)), None):
        raise BaseModelError(f"a decoder layer gives out {other}, which could not be left out safely")
    metadata = {_CALL: str(state.call), _FORM: form, _RESUMED: str(state.resumed), _WHOLE: str(state.whole)}
    temporary = path.with_name(f".{path.stem}.part.safetensors")
    named = {str(number): array for number, array in enumerate(arrays)}
    try:
        mx.save_safetensors(str(temporary), named, metadata=metadata)
        if durable:
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise WorkspaceError(
            f"{path.name} cannot be written: {error}",
            hint="Free some space and run the same command: finished layers are kept.",
        ) from error


def load(path: Path) -> State | None:
    """None when there is no whole file."""
    arrays, metadata = _load(path)
    if not metadata:
        return None
    mx.eval(arrays)
    output = _formed(json.loads(metadata[_FORM]), arrays)
    return State(int(metadata[_CALL]), output, metadata[_RESUMED] == "True", metadata[_WHOLE] == "True")


@dataclass(frozen=True)
class Reached:
    """How far a batch is: calls of a layer behind it, and `resumed` and `whole` as of a `State`."""

    calls: int = 0
    resumed: bool = False
    whole: bool = True


def reached(path: Path) -> Reached:
    _, metadata = _load(path)
    if not metadata:
        return Reached()
    return Reached(int(metadata[_CALL]) + 1, metadata[_RESUMED] == "True", metadata[_WHOLE] == "True")


def _load(path: Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    """Arrays that are read when they are evaluated, and what is written beside them."""
    try:
        return cast("tuple[dict[str, mx.array], dict[str, str]]", mx.load(str(path), return_metadata=True))
    except (OSError, RuntimeError, ValueError):
        return {}, {}


def leaves(output: object) -> Iterator[mx.array]:
    """The arrays of an output in order."""
    if isinstance(output, mx.array):
        yield output
    elif isinstance(output, tuple | list):
        for item in output:
            yield from leaves(item)
    elif _is_of_mlx_lm(output):
        yield from leaves(list(vars(output).values()))


def containers(inputs: object) -> list[tuple[object, list[mx.array]]]:
    """Everything among a layer's arguments that the layer could change, with the arrays that it holds now."""
    found: dict[int, tuple[object, list[mx.array]]] = {}
    waiting = [inputs]
    while waiting:
        one = waiting.pop()
        inside = _inside(one)
        if inside is not None and id(one) not in found:
            found[id(one)] = one, [item for item in inside if isinstance(item, mx.array)]
            waiting += inside
    return list(found.values())


def changed(before: list[tuple[object, list[mx.array]]], output: object) -> bool:
    """Whether a layer changed what it was given, other than what it also gave out."""
    out = {id(one) for one, _ in containers(output)}
    for one, arrays in before:
        now = [item for item in _inside(one) or () if isinstance(item, mx.array)]
        if id(one) not in out and (len(now) != len(arrays) or any(map(operator.is_not, now, arrays))):
            return True
    return False


def _inside(one: object) -> list[object] | None:
    if isinstance(one, dict):
        return list(one.values())
    if isinstance(one, list | tuple):
        return list(one)
    if isinstance(one, mx.array | Module | type) or not hasattr(one, "__dict__"):
        return None
    return list(vars(one).values())


def filled(output: object, value: float) -> object:
    """An output of the same form that holds nothing but `value`."""
    if isinstance(output, mx.array):
        return mx.full(output.shape, value, dtype=output.dtype)
    if isinstance(output, tuple | list):
        items = [filled(item, value) for item in output]
        return tuple(items) if isinstance(output, tuple) else items
    if _is_of_mlx_lm(output):
        return _made(type(output), {name: filled(item, value) for name, item in vars(output).items()})
    return output


def _form(output: object, arrays: list[mx.array]) -> Json:
    if isinstance(output, mx.array):
        arrays.append(output)
        return {"array": len(arrays) - 1}
    if isinstance(output, tuple | list):
        return {"tuple" if isinstance(output, tuple) else "list": [_form(item, arrays) for item in output]}
    if output is None or isinstance(output, bool | int | float | str):
        return {"plain": output}
    if _is_of_mlx_lm(output):
        kind = f"{type(output).__module__}:{type(output).__name__}"
        return {"object": kind, "of": {name: _form(item, arrays) for name, item in vars(output).items()}}
    raise BaseModelError(f"a decoder layer gives out a {type(output).__name__}, which cannot be kept in a file")


def _formed(form: Json, arrays: dict[str, mx.array]) -> object:
    match form:
        case {"array": number}:
            return arrays[str(number)]
        case {"tuple": [*items]}:
            return tuple(_formed(item, arrays) for item in items)
        case {"list": [*items]}:
            return [_formed(item, arrays) for item in items]
        case {"object": str(kind), "of": dict(items)}:
            module, _, name = kind.partition(":")
            if module.startswith(_MODELS):
                attributes = {key: _formed(item, arrays) for key, item in items.items()}
                return _made(getattr(sys.modules[module], name), attributes)
        case {"plain": value}:
            return value
    raise ValueError(form)


def _is_of_mlx_lm(output: object) -> bool:
    """Whether it is something of a model's own that is passed from layer to layer."""
    return type(output).__module__.startswith(_MODELS) and not isinstance(output, Module)


def _made(kind: type, attributes: dict[str, object]) -> object:
    new: object = object.__new__(kind)
    vars(new).update(attributes)
    return new
