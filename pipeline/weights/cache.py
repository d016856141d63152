"""What a model keeps in memory of the text it has read: the bytes of its own cache, measured without computing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import mlx.core as mx
from mlx_lm.models.cache import (
    ArraysCache,
    CacheList,
    ChunkedKVCache,
    ConcatenateKVCache,
    KVCache,
    RotatingKVCache,
    make_prompt_cache,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.weights.architecture import Model


@dataclass(frozen=True)
class Rows:
    """One layer's keys and values: `size` bytes a token, room made for `step` tokens at once, for at most `most`.

    Where there is a most, that room begins at the end of the prompt, wherever that is, so all of it is counted.
    """

    size: int
    step: int
    most: int | None = None

    def nbytes(self, context: int) -> int:
        if self.most is None:
            return self.size * -(-context // self.step) * self.step
        return self.size * min(context + self.step - 1, self.most)


@dataclass(frozen=True)
class Cache:
    """fixed: bytes of states that do not grow with the text; rows: how many layers have each kind of growing ones."""

    fixed: int
    rows: Mapping[Rows, int]

    def nbytes(self, context: int) -> int:
        """With `context` tokens read, as it is while the next ones are generated."""
        return self.fixed + sum(count * rows.nbytes(context) for rows, count in self.rows.items())


class _Layer(Protocol):
    """What is asked of a layer's cache, whose classes are untyped in mlx-lm; each has some of these."""

    caches: Sequence[_Layer]
    keys: mx.array | None
    nbytes: int
    step: int
    max_size: int
    chunk_size: int


class _Unknown(Exception):
    """A kind of cache that is not mlx-lm's own."""


def measure_cache(model: Model) -> Cache | None:
    """The cache of a model in the precisions that it is released in.

    None when it is of an unknown kind, or when mlx-lm's model fails on one token, which a plan has to survive.

    The model reads one token under `mx.compile`, which needs shapes only: no weight is ever computed, and a model that
    looks at values on its way is stopped instead of being evaluated.
    """
    caches: list[_Layer] = make_prompt_cache(model)
    measured: list[Cache] = []
    call = cast("Callable[..., mx.array]", model)

    def read_one(token: mx.array) -> mx.array:
        call(token, cache=caches)
        parts = [part for cache in caches for part in _parts(cache)]
        measured.append(
            Cache(
                sum(part for part in parts if isinstance(part, int)), Counter(p for p in parts if isinstance(p, Rows))
            )
        )
        return token

    try:
        mx.compile(read_one)(mx.array([[0]]))
    except (_Unknown, ValueError, RuntimeError, TypeError, LookupError, AttributeError):
        return None
    return measured[0]


def _parts(cache: _Layer | None) -> Iterator[Rows | int]:
    """The growing and the fixed parts of one layer's cache; exact types, since a subclass may keep anything."""
    kind: type = type(cache)
    if cache is None:
        return
    if kind is CacheList:
        for inner in cache.caches:
            yield from _parts(inner)
    elif kind is ArraysCache:
        yield cache.nbytes
    elif kind in {KVCache, RotatingKVCache, ChunkedKVCache, ConcatenateKVCache}:
        if cache.keys is not None:
            size = cache.nbytes // cache.keys.shape[2]
            if kind is RotatingKVCache:
                yield Rows(size, cache.step, cache.max_size)
            elif kind is ChunkedKVCache:
                yield Rows(size, cache.step, cache.chunk_size + cache.step)
            else:
                yield Rows(size, 1 if kind is ConcatenateKVCache else cache.step)
    else:
        raise _Unknown
