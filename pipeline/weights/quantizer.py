"""Makes one shard: slabs of the base in, quantized slabs out at their final place, in the memory of a few slabs."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

import mlx.core as mx
import numpy as np

from pipeline.errors import PipelineError, WorkspaceError
from pipeline.manifest import sync_folder
from pipeline.weights.architecture import MX
from pipeline.weights.boxes import cut, extents, first_element, slices
from pipeline.weights.headers import read_header
from pipeline.weights.packed import middle
from pipeline.weights.search import search
from pipeline.weights.slabs import can_slice, slab, slab_elements
from pipeline.weights.source import load_whole, open_base
from pipeline.weights.trace import leaves
from pipeline.weights.unpack import as_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.release.recipe import Precision
    from pipeline.weights.boxes import Box
    from pipeline.weights.headers import Tensor
    from pipeline.weights.layout import Layout, Piece, Shard
    from pipeline.weights.slabs import Read
    from pipeline.weights.trace import Node

    Part: TypeAlias = Callable[[Box], Sequence[mx.array]]
    Written: TypeAlias = list[tuple[Tensor, int]]

T = TypeVar("T")

_AHEAD = 8  # slabs queued for each thread, so that none waits while the digest is taken
_BLOCK = 1 << 22
_UNSYNCED = 1 << 27  # bytes that are written before the disk is asked for them
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_shard(
    layout: Layout,
    shard: Shard,
    folder: Path,
    target: Path,
    *,
    threads: int = 2,
    advance: Callable[[int], None] | None = None,
) -> str:
    """Write `shard` from the base files in `folder` and return its SHA-256; `target` appears whole or not at all.

    `advance` is told of every byte of the file, in the calling thread; what it raises ends the work.
    """
    temporary = target.with_name(f".{target.name}.part")
    try:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            digest = _fill(layout, shard, folder, handle, threads=threads, advance=advance or (lambda _count: None))
            os.fsync(handle)
        finally:
            os.close(handle)
        _compare(temporary, shard)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise WorkspaceError(
                f"no space for {shard.name} ({shard.size} bytes)",
                hint="Free some space and run the same command: finished shards are kept.",
            ) from error
        raise WorkspaceError(f"{shard.name} cannot be made: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _fill(
    layout: Layout, shard: Shard, folder: Path, handle: int, *, threads: int, advance: Callable[[int], None]
) -> str:
    os.ftruncate(handle, shard.size)
    _write(handle, shard.header, 0)
    digest = _Digest(handle, shard)
    advance(len(shard.header))
    with open_base(layout.base, layout.source, folder, layout.needs(shard)) as read, _Disk(handle) as disk:
        pool = ThreadPoolExecutor(threads, "slab")
        try:
            work = (
                partial(_make, handle, piece, box, part)
                for piece, part in parts(layout, shard, folder, read)
                for box in cut(piece.shape, slab_elements(MX[piece.dtype]))
            )
            for written in in_order(pool, work, _AHEAD * threads):
                for tensor, count in written:
                    digest.wrote(tensor, count)
                    disk.wrote(count)
                    advance(count)
        finally:
            pool.shutdown(cancel_futures=True)
    return digest.hex()


def parts(layout: Layout, shard: Shard, folder: Path, read: Read) -> Iterator[tuple[Piece, Part]]:
    """Every piece, with a function that makes any part of it ready to be written."""
    graphs = layout.graphs(shard)
    kept = {piece.parameter: kept_graphs(layout, piece, graphs[piece.parameter]) for piece in shard.pieces}
    whole = [name for name, node in graphs.items() if not kept[name] and (node is None or not can_slice(node))]
    behind = (leaves(node) if node else frozenset(layout.source.tensors) for node in map(graphs.get, whole))
    everything = frozenset[str]().union(*behind)
    loaded = load_whole(layout.base, layout.source, whole, everything, folder) if whole else iter(())
    for piece in shard.pieces:
        node = graphs[piece.parameter]
        if stored := kept[piece.parameter]:
            yield piece, partial(_as_stored, piece, stored, read)
        elif node is None or piece.parameter in whole:
            yield piece, partial(_quantized, piece, partial(_part_of, next(loaded)))
        else:
            yield piece, partial(_quantized, piece, partial(slab, node, read))


def kept_graphs(layout: Layout, piece: Piece, node: Node | None) -> tuple[Node, ...] | None:
    """The graphs of a piece that the base holds at the precision that is asked for: its codes are taken as they are."""
    if node is None or piece.precision is None:
        return None
    return as_stored(node, layout.source.packings, piece.precision)


def _part_of(array: mx.array, box: Box) -> mx.array:
    return array[slices(box)] if box else array


def _quantized(piece: Piece, part: Callable[[Box], mx.array], box: Box) -> Sequence[mx.array]:
    array = part(box).astype(MX[piece.dtype])
    return quantized(array, piece.precision) if piece.precision else (array,)


def quantized(array: mx.array, precision: Precision) -> Sequence[mx.array]:
    """Codes, scales and, in mode affine, biases."""
    if precision.method == "search":
        return search(array, precision.group_size, precision.bits)
    return mx.quantize(array, precision.group_size, precision.bits, precision.mode)


def _as_stored(piece: Piece, nodes: Sequence[Node], read: Read, box: Box) -> Sequence[mx.array]:
    """Codes as they are; scales and biases in the dtype of the piece, as mlx-lm casts them."""
    codes, *others = (slab(node, read, (*box[:-1], (0, node.shape[-1]))) for node in nodes)
    if piece.precision is None or piece.precision.mode != "affine":
        return codes, *others
    scales, *biases = (array.astype(MX[piece.dtype]) for array in others)
    return codes, scales, biases[0] if biases else -middle(piece.precision) * scales


def _make(handle: int, piece: Piece, box: Box, part: Part) -> Written:
    """Make and write one slab; mlx gives every thread a stream of its own."""
    results = part(box)
    first = first_element(piece.shape, box)
    written: Written = []
    for tensor, result in zip(piece.parts, results, strict=True):
        if tensor is None:
            continue
        expected = (*extents(box)[:-1], *tensor.shape[-1:])
        if result.dtype != MX[tensor.dtype] or result.shape != expected:
            raise PipelineError(
                f"{tensor.name} came out as {result.dtype} {list(result.shape)}, not as {piece.precision} asks",
                hint="This release of mlx quantizes differently from what was planned with.",
            )
        content = _bytes(result)
        _write(handle, content, tensor.start + first * tensor.nbytes // max(1, piece.elements))
        written.append((tensor, len(content)))
    return written


def _bytes(array: mx.array) -> memoryview:
    return np.ascontiguousarray(array.reshape(-1).view(mx.uint8)).data


def _write(handle: int, content: bytes | memoryview, position: int) -> None:
    left = memoryview(content)
    while left:
        count = os.pwrite(handle, left, position)
        left = left[count:]
        position += count


def in_order(pool: ThreadPoolExecutor, work: Iterable[Callable[[], T]], ahead: int) -> Iterator[T]:
    """The results of `work` in its order, with at most `ahead` of it started and not yet fetched."""
    waiting: deque[Future[T]] = deque()
    for call in work:
        waiting.append(pool.submit(call))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Disk:
    """Brings the file to the disk behind the writers, so that the last `fsync` has little left to wait for."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._unsynced = 0
        self._thread = ThreadPoolExecutor(1, "disk")
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._heard()

    def wrote(self, count: int) -> None:
        self._unsynced += count
        if self._unsynced >= _UNSYNCED and (self._running is None or self._running.done()):
            self._heard()
            self._running = self._thread.submit(os.fsync, self._handle)
            self._unsynced = 0

    def _heard(self) -> None:
        """What the disk refused is raised here: a later `fsync` would not say it again."""
        if self._running:
            self._running.result()


class _Digest:
    """SHA-256 of the shard, taken behind the writers while the bytes are still in the page cache."""

    def __init__(self, handle: int, shard: Shard) -> None:
        self._handle = handle
        self._tensors = shard.tensors
        self._written = dict.fromkeys((tensor.name for tensor in shard.tensors), 0)
        self._position = len(shard.header)
        self._current = 0
        self._sha256 = hashlib.sha256(shard.header)

    def wrote(self, tensor: Tensor, count: int) -> None:
        """`count` more bytes of a tensor are in the file; they follow on those before."""
        self._written[tensor.name] += count
        while self._current < len(self._tensors):
            current = self._tensors[self._current]
            self._read_to(current.start + self._written[current.name])
            if self._written[current.name] < current.nbytes:
                break
            self._current += 1

    def _read_to(self, end: int) -> None:
        while self._position < end:
            block = os.pread(self._handle, min(end - self._position, _BLOCK), self._position)
            self._sha256.update(block)
            self._position += len(block)

    def hex(self) -> str:
        return self._sha256.hexdigest()


def _compare(path: Path, shard: Shard) -> None:
    """Asked and written: the file read back must be the one that was planned."""
    written = read_header(path, shard.name)
    for tensor in shard.tensors:
        found = written.get(tensor.name)
        if found != tensor:
            raise PipelineError(f"{shard.name} holds {tensor.name} as {found}, not as planned: {tensor}")
