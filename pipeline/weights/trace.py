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
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.weights.architecture import Sanitize
    from pipeline.weights.boxes import Shape
    from pipeline.weights.families import BaseTensor

LEAF = "Leaf"
CONSTANT = "Constant"
FROM_FP8 = "FromFP8"
_STAND_IN = "AsStrided"
_STAND_IN_FP8 = "ErfInv"
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
    """What `sanitize` makes of placeholders; the graph behind each parameter is exported when it is asked for.

    One export of all parameters of Kimi K2.5, with its 208,550 tensors, would take 2 GB.

    outputs: every parameter; it has a shape and a dtype, and evaluating it is an error.
    tensors: the names of the base's tensors in the order of their placeholders.
    """

    outputs: Mapping[str, mx.array]
    tensors: tuple[str, ...]

    def node(self, name: str) -> Node | None:
        """The graph of a parameter over the tensors of the base; None when mlx cannot export one of its primitives."""
        events: list[dict[str, Any]] = []
        try:
            mx.export_function(events.append, lambda: [self.outputs[name]])
        except ValueError:
            return None
        return _link(events, self.tensors)


def leaves(node: Node) -> frozenset[str]:
    """The tensors of the base that a graph ends in."""
    seen: set[Node] = set()
    found: set[str] = set()
    waiting = [node]
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
    return {name: mx.zeros(tensor.shape, dtype=held_as(name, tensor)) for name, tensor in tensors.items()}


def held_as(name: str, tensor: BaseTensor) -> mx.Dtype:
    if tensor.dtype not in MX:
        raise BaseModelError(f"{name} is stored as {tensor.dtype}, which mlx cannot hold")
    return MX[tensor.dtype]


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
    """`sanitize` applied to placeholders; None when it looks at values, or fails, and so has no graph.

    Only arrays within a running export refuse to show their values. They outlive it here, each as an endless stride
    over one of its inputs, so that its offset tells which tensor it stands for.
    """
    inputs = {tensor.dtype: mx.zeros((1,), dtype=held_as(name, tensor)) for name, tensor in tensors.items()}
    outputs: dict[str, mx.array] = {}

    def function(*arrays: mx.array) -> list[mx.array]:
        by_dtype = dict(zip(inputs, arrays, strict=True))
        stand_ins = {
            name: mx.as_strided(by_dtype[tensor.dtype], tensor.shape, [0] * len(tensor.shape), position)
            for position, (name, tensor) in enumerate(tensors.items())
        }
        outputs.update(sanitize(stand_ins))
        return []

    with _exportable():
        try:
            mx.export_function(lambda _event: None, function, *inputs.values())
        except (ValueError, KeyError):
            return None
    return Trace(outputs, tuple(tensors))


def _link(events: list[dict[str, Any]], tensors: Sequence[str]) -> Node:
    nodes: dict[str, Node] = {}
    result = ""
    for event in events:
        kind = event["type"]
        if kind == "constants":
            for key, value in event["constants"]:
                nodes[key] = Node(CONSTANT, tuple(value.shape), value.dtype, (value,))
        elif kind == "outputs":
            ((result, *_),) = event["outputs"]
        elif kind == "primitive":
            primitive, arguments = event["name"], tuple(event["arguments"])
            inputs = tuple(nodes[key] for key, *_ in event["inputs"])
            if primitive == _STAND_IN:
                primitive, arguments, inputs = LEAF, (tensors[arguments[-1]],), ()
            elif primitive == _STAND_IN_FP8:
                primitive, inputs = FROM_FP8, inputs[0].inputs
            for position, (key, shape, dtype) in enumerate(event["outputs"]):
                nodes[key] = Node(primitive, tuple(shape), dtype, arguments, inputs, position)
    return nodes[result]


@contextlib.contextmanager
def _exportable() -> Iterator[None]:
    """Two functions of mlx do not export.

    `contiguous` changes no value, so a trace does without it; `from_fp8` is written down as one that no model uses.
    """
    with _PATCHING:
        contiguous, from_fp8 = mx.contiguous, mx.from_fp8
        mx.contiguous = lambda a, *_arguments, **_options: a
        mx.from_fp8 = lambda x, dtype=mx.bfloat16, **_options: mx.erfinv(x.astype(dtype))
        try:
            yield
        finally:
            mx.contiguous, mx.from_fp8 = contiguous, from_fp8
