"""How much of every weight matrix a precision loses, measured on the matrices themselves, slab by slab."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from pipeline import provenance
from pipeline.errors import BaseModelError
from pipeline.manifest import write_atomically
from pipeline.release.layers import layer_class
from pipeline.release.recipe import Precision
from pipeline.weights.architecture import MX
from pipeline.weights.boxes import cut
from pipeline.weights.quantizer import in_order, kept_graphs, parts, quantized
from pipeline.weights.slabs import slab_elements
from pipeline.weights.source import open_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.release.recipe import Decision
    from pipeline.weights.boxes import Box, Shape
    from pipeline.weights.layout import Layout, Piece
    from pipeline.weights.quantizer import Part
    from pipeline.weights.trace import Node

_AHEAD = 4  # slabs queued for each thread


class Measured:
    """The relative squared errors of one base model, ||W - Q(W)||² / ||W||², and every ||W||², kept in one file.

    A file of another base or another mlx, or one that is damaged, counts as empty and is replaced.
    """

    def __init__(self, path: Path, repo: str, revision: str) -> None:
        self._path = path
        self._head = {"repo": repo, "revision": revision, "mlx": provenance.tools()["mlx"]}
        self._errors: dict[str, dict[str, float]] = {}
        self._squares: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            self._read()

    def _read(self) -> None:
        content = json.loads(self._path.read_text())
        if {key: content.pop(key) for key in self._head} == self._head:
            squares = {str(path): float(value) for path, value in content["squares"].items()}
            self._errors = {path: {str(k): float(v) for k, v in row.items()} for path, row in content["errors"].items()}
            self._squares = squares

    def error(self, module: str, precision: Precision) -> float:
        return self._errors[module][str(precision)]

    def squares(self, module: str) -> float:
        """||W||²"""
        return self._squares[module]

    def knows(self, module: str, wanted: Sequence[Precision]) -> bool:
        return module in self._squares and not self.missing(module, wanted)

    def missing(self, module: str, wanted: Sequence[Precision]) -> tuple[Precision, ...]:
        return tuple(precision for precision in wanted if str(precision) not in self._errors.get(module, {}))

    def add(self, module: str, errors: Mapping[Precision, float], squares: float | None = None) -> None:
        self._errors.setdefault(module, {}).update((str(precision), error) for precision, error in errors.items())
        if squares is not None:
            self._squares[module] = squares

    def save(self) -> None:
        content = {**self._head, "errors": self._errors, "squares": self._squares}
        write_atomically(self._path, json.dumps(content) + "\n")


def measure(
    layout: Layout,
    folder: Path,
    wanted: Mapping[str, Sequence[Precision]],
    measured: Measured,
    *,
    threads: int = 2,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Add to `measured` what it lacks of `wanted`, by module path; saved shard after shard, so that a kill costs one.

    layout: without any quantization, so that its pieces are what would be quantized; folder: of the base's files.
    advance: is told of every weight that has been looked at, in the calling thread.
    """
    with ThreadPoolExecutor(threads, "slab") as pool:
        for shard in layout.shards:
            graphs = layout.graphs(shard) if layout.source.packings else {}
            tasks: dict[str, tuple[Precision, ...]] = {}
            for piece in shard.pieces:
                asked = _of(piece, wanted)
                if asked and piece.parameter.endswith(".weight") and not measured.knows(piece.module, asked):
                    left = measured.missing(piece.module, asked)
                    kept = [one for one in left if _is_kept(layout, piece, one, graphs.get(piece.parameter))]
                    measured.add(piece.module, dict.fromkeys(kept, 0.0))
                    tasks[piece.parameter] = tuple(one for one in left if one not in kept)
            if not tasks:
                continue
            with open_base(layout.base, layout.source, folder, layout.needs(shard)) as read:
                wholes = (one for one in parts(layout, shard, folder, read) if one[0].parameter in tasks)
                for piece, errors, squares in _measure(wholes, tasks, pool, _AHEAD * threads, advance):
                    measured.add(piece.module, errors, squares)
            measured.save()


def by_class(decisions: Mapping[str, Decision], measured: Measured) -> dict[str, float]:
    """The relative error of every tensor class that is quantized, and of all of them together as "": of all its weights
    as one vector, ||W - Q(W)|| / ||W||.
    """
    lost: dict[str, float] = defaultdict(float)
    whole: dict[str, float] = defaultdict(float)
    for path, decision in decisions.items():
        if isinstance(decision, Precision):
            squares = measured.squares(path)
            for name in (layer_class(path), ""):
                lost[name] += squares * measured.error(path, decision)
                whole[name] += squares
    return {name: math.sqrt(lost[name] / squares) if squares else 0.0 for name, squares in whole.items()}


def nbytes(shape: Shape, dtype: str, decision: Decision) -> int:
    """Bytes that a weight of this shape takes, scales and biases included; `dtype` in the words of safetensors."""
    if not isinstance(decision, Precision):
        size: int = getattr(mx, decision.dtype).size
        return math.prod(shape) * size
    # Nothing is computed: mlx knows the shapes of what it would make.
    lazy = mx.zeros(shape, dtype=MX[dtype])
    results: Sequence[mx.array] = mx.quantize(lazy, decision.group_size, decision.bits, decision.mode)
    return sum(result.nbytes for result in results)


def _of(piece: Piece, wanted: Mapping[str, Sequence[Precision]]) -> Sequence[Precision]:
    return wanted.get(piece.module, ()) if piece.parts[0] else ()


def _is_kept(layout: Layout, piece: Piece, precision: Precision, node: Node | None) -> bool:
    """Whether the base holds the weight in this very form, so that nothing is lost."""
    return kept_graphs(layout, replace(piece, precision=precision), node) is not None


def _measure(
    pieces: Iterable[tuple[Piece, Part]],
    tasks: Mapping[str, tuple[Precision, ...]],
    pool: ThreadPoolExecutor,
    ahead: int,
    advance: Callable[[int], None] | None,
) -> Iterator[tuple[Piece, dict[Precision, float], float]]:
    """Each piece when its last slab is done."""
    work = (
        partial(_of_slab, piece, box, part, tasks[piece.parameter])
        for piece, part in pieces
        for box in cut(piece.shape, slab_elements(MX[piece.dtype]))
    )
    sums: dict[str, list[float]] = {}
    seen: Counter[str] = Counter()
    for piece, elements, squares in in_order(pool, work, ahead):
        name = piece.parameter
        sums[name] = [a + b for a, b in zip(sums.get(name, [0.0] * len(squares)), squares, strict=True)]
        seen[name] += elements
        if advance:
            advance(elements)
        if seen[name] == piece.elements:
            whole, *lost = sums.pop(name)
            if not all(map(math.isfinite, (whole, *lost))):
                raise BaseModelError(
                    f"{name} holds values that are not finite", hint="The base model is damaged; no recipe can mend it."
                )
            yield piece, {p: one / whole if whole else 0.0 for p, one in zip(tasks[name], lost, strict=True)}, whole


def _of_slab(
    piece: Piece, box: Box, part: Part, precisions: Sequence[Precision]
) -> tuple[Piece, int, tuple[float, ...]]:
    """The sums of squares of one slab: of its weights, and of what each precision loses."""
    (weight,) = part(box)
    exact = weight.astype(mx.float32)
    sums = [mx.sum(mx.square(exact))]
    for precision in precisions:
        codes, scales, *biases = quantized(weight, precision)
        form = (precision.group_size, precision.bits, precision.mode)
        again = mx.dequantize(codes, scales, biases[0] if biases else None, *form)
        sums.append(mx.sum(mx.square(exact - again.astype(mx.float32))))
        mx.eval(sums)  # one precision after the other, so that only one is in memory
    values = np.array(mx.stack(sums))
    return piece, exact.size, tuple(map(float, values))
