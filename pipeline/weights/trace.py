"""Traces an architecture's `sanitize` into the graph of primitives behind every parameter, reading no weight."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from pipeline.errors import BaseModelError
from pipeline.weights.architecture import MX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.weights.architecture import Sanitize
    from pipeline.weights.boxes import Shape
    from pipeline.weights.families import BaseTensor

LEAF = "Leaf"
CONSTANT = "Constant"
_PATCHING = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One array of the graph and the primitive that makes it.

    arguments: of the primitive; the tensor's name for a leaf, the array itself for a constant.
    inputs: the nodes that it is made from; `position` is its place among the primitive's outputs.
    """

    primitive: str
    shape: Shape
    dtype: mx.Dtype
    arguments: tuple[Any, ...] = ()
    inputs: tuple[Node, ...] = ()
    position: int = 0


@dataclass(frozen=True)
class Trace:
    """Every parameter of the model as a graph over the tensors of the base."""

    outputs: Mapping[str, Node]

    def leaves(self, name: str) -> frozenset[str]:
        """The tensors of the base that a parameter is made from."""
        seen: set[Node] = set()
        found: set[str] = set()
        waiting = [self.outputs[name]]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.primitive == LEAF:
                found.add(node.arguments[0])
            waiting += node.inputs
        return frozenset(found)


def placeholders(tensors: Mapping[str, BaseTensor]) -> dict[str, mx.array]:
    """Lazy arrays of the right shapes and dtypes, which cost nothing until somebody looks at their values."""
    arrays = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in MX:
            raise BaseModelError(f"{name} is stored as {tensor.dtype}, which mlx cannot hold")
        arrays[name] = mx.zeros(tensor.shape, dtype=MX[tensor.dtype])
    return arrays


def run_sanitize(sanitize: Sanitize, weights: dict[str, mx.array]) -> dict[str, mx.array]:
    """`sanitize` with errors a person can use: it fails when tensors that it expects are absent or wrong."""
    try:
        return sanitize(weights)
    except KeyError as error:
        raise BaseModelError(
            f"the base model lacks {error.args[0]}, which its architecture needs", hint="Its weights are incomplete."
        ) from error
    except ValueError as error:
        raise BaseModelError(
            f"mlx-lm refuses the tensors of the base model: {error}",
            hint="Its weights are damaged, or config.json belongs to another model.",
        ) from error


def trace(sanitize: Sanitize, tensors: Mapping[str, BaseTensor]) -> Trace | None:
    """The graph of `sanitize` over these tensors; None when it looks at values, or fails, and so has none."""
    arrays = placeholders(tensors)
    names: list[str] = []
    events: list[dict[str, Any]] = []

    def function(*inputs: mx.array) -> list[mx.array]:
        outputs = sanitize(dict(zip(arrays, inputs, strict=True)))
        names.extend(outputs)
        return list(outputs.values())

    with _exportable():
        try:
            mx.export_function(events.append, function, *arrays.values())
        except (ValueError, KeyError):
            return None
    return Trace(_link(events, list(arrays), names))


def _link(events: list[dict[str, Any]], leaves: list[str], outputs: list[str]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    results: dict[str, str] = {}
    for event in events:
        kind = event["type"]
        if kind == "inputs":
            for leaf, (key, shape, dtype) in zip(leaves, event["inputs"], strict=True):
                nodes[key] = Node(LEAF, tuple(shape), dtype, (leaf,))
        elif kind == "constants":
            for key, value in event["constants"]:
                nodes[key] = Node(CONSTANT, tuple(value.shape), value.dtype, (value,))
        elif kind == "outputs":
            results = {name: key for name, (key, *_) in zip(outputs, event["outputs"], strict=True)}
        elif kind == "primitive":
            inputs = tuple(nodes[key] for key, *_ in event["inputs"])
            for position, (key, shape, dtype) in enumerate(event["outputs"]):
                nodes[key] = Node(event["name"], tuple(shape), dtype, tuple(event["arguments"]), inputs, position)
    return {name: nodes[key] for name, key in results.items()}


@contextlib.contextmanager
def _exportable() -> Iterator[None]:
    """`mx.contiguous` does not export; it changes no value, so a trace does without it."""
    with _PATCHING:
        contiguous = mx.contiguous
        mx.contiguous = lambda a, *_arguments, **_options: a
        try:
            yield
        finally:
            mx.contiguous = contiguous
