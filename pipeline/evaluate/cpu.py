"""Everything that is done differently when mlx has no GPU: float32 throughout, products by numpy, windows in threads.

float32, because in bfloat16 mlx's CPU quantized matmul falsifies a perplexity by 8 to 15 %, and `gather_mm` takes
nothing else. Weights are dequantized when they are loaded: doing it again for every token costs more than the
whole product (1.0 ms against 0.04 ms for one token through 1536 x 576).

numpy, because the BLAS in mlx's Linux wheel is the reference one: 512 x 576 by 576 x 1536 takes 360 ms in mlx and 5 ms
in numpy's own OpenBLAS on the same two cores. For a 135M model that is 1.4 s a window of 512 tokens instead of 70 s.

Threads, because OpenBLAS's own wait for one another by spinning: beside the quantizing of a release they made a window
ten times slower. One BLAS thread a window and a window a core is faster even on an idle machine (1.4 s against 2.1 s).

mlx-lm's model code is untouched: layers of the known classes get a subclass of their own class, and mlx's attention is
replaced only while a figure is taken. What is of another class stays as it is, in float32: exact, merely slow.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedEmbedding, QuantizedLinear
from mlx.utils import tree_map
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from pipeline.evaluate.model import Model

    Floats = NDArray[np.float32]
    Form = tuple[int, int, str]

_init_module: Callable[[Module], None] = Module.__init__  # which mlx leaves untyped
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_ROWS = 16
_MOST_THREADS = 8  # each holds the logits of its own window: 0.3 GB for 512 tokens over 49,152
_one_at_a_time = threading.Lock()


def use_float32(model: Model, *, stored_experts: bool = False) -> None:
    """Rewrite a model in place so that all its figures are computed in float32, most of them by numpy.

    Nothing is computed here. Evaluated one by one, its arrays then need 4 bytes a parameter, for each tensor's own
    form is dropped as soon as its float32 form exists.
    stored_experts: they stay in their own form, and each is computed in float32 when tokens reach it: slower, but a
    layer of experts takes a quarter of the memory or less.
    """
    as_stored = {
        id(module): module["weight"] for module in model.modules() if stored_experts and type(module) is SwitchLinear
    }
    model.set_dtype(mx.float32)
    for module in model.modules():
        if id(module) in as_stored:
            module["weight"] = as_stored[id(module)]
    convert = partial(_in_float32, stored_experts=stored_experts)
    model.update_modules(tree_map(convert, model.leaf_modules(), is_leaf=Module.is_module))


@contextlib.contextmanager
def fast() -> Iterator[None]:
    """Attention by numpy and one thread a product for as long as this lasts.

    One caller at a time, for mlx's attention and the number of BLAS threads are the whole process's.
    """
    with _one_at_a_time, threadpool_limits(1, user_api="blas"):
        slow = mx.fast.scaled_dot_product_attention

        def attention(
            q: mx.array,
            k: mx.array,
            v: mx.array,
            *,
            scale: float,
            mask: str | mx.array | None = None,
            sinks: mx.array | None = None,
        ) -> mx.array:
            # Attention sinks are rare, and another dtype is one that the model insists on: both keep mlx's own way.
            if sinks is None and q.dtype == k.dtype == v.dtype == mx.float32:
                return _attend(q, k, v, scale, mask)
            return slow(q, k, v, scale=scale, mask=mask, sinks=sinks)

        replacement: Any = attention
        mx.fast.scaled_dot_product_attention = replacement
        try:
            yield
        finally:
            mx.fast.scaled_dot_product_attention = slow


def in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item], done: Callable[[_Result], None]) -> None:
    """`function` of every item, one core each; `done` hears of the results in order, in the caller's thread.

    What `done` raises stops the rest; those under way are finished first.
    """
    with ThreadPoolExecutor(threads()) as pool:
        running = [pool.submit(function, item) for item in items]
        try:
            for result in running:
                done(result.result())
        finally:
            pool.shutdown(cancel_futures=True)


def threads() -> int:
    """How many windows are computed at a time."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


def distance(base: mx.array, quantized: mx.array) -> tuple[Floats, Floats]:
    """As `pipeline.evaluate.divergence.distance`, in a tenth of the time."""
    shape, words = base.shape[:-1], base.shape[-1]
    of_base, of_result = (_numpy(scores).reshape(-1, words) for scores in (base, quantized))
    divergence, agreement = np.empty(len(of_base), np.float32), np.empty(len(of_base), np.float32)
    for start in range(0, len(of_base), _ROWS):  # as many as a processor's cache holds
        rows = slice(start, start + _ROWS)
        p, q = of_base[rows], of_result[rows]
        weights = np.exp(p - p.max(-1, keepdims=True))
        # A word that both models rule out is at no distance, though its logits have none.
        apart = np.subtract(p, q, out=np.zeros_like(p), where=weights > 0)
        apart = (weights * apart).sum(-1) / weights.sum(-1)
        divergence[rows] = apart - _log_sum(p) + _log_sum(q)
        agreement[rows] = p.argmax(-1) == q.argmax(-1)
    return divergence.reshape(shape), agreement.reshape(shape)


def _log_sum(rows: Floats) -> NDArray[np.float64]:
    """Of the exponentials of each row; differences of two of them are small, and would be lost in float32."""
    most = rows.max(-1, keepdims=True)
    found: NDArray[np.float64] = most[:, 0] + np.log(np.exp(rows - most).sum(-1).astype(np.float64))
    return found


class _Linear(Linear):
    def __call__(self, x: mx.array) -> mx.array:
        y = _product(x, self["weight"])
        return y + self["bias"] if "bias" in self else y


class _Embedding(Embedding):
    def as_linear(self, x: mx.array) -> mx.array:
        return _product(x, self["weight"])


class _SwitchLinear(SwitchLinear):
    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        """`x` (..., rows, inputs), its leading axes and those of `indices` broadcast as `mx.gather_mm` does."""
        del sorted_indices  # a promise that helps mlx only
        chosen = np.broadcast_to(np.asarray(indices), np.broadcast_shapes(indices.shape, x.shape[:-2]))
        tokens = np.broadcast_to(_numpy(x), (*chosen.shape, *x.shape[-2:]))
        y = np.empty((*chosen.shape, x.shape[-2], self["weight"].shape[1]), np.float32)
        for expert in np.unique(chosen):
            here = chosen == expert
            y[here] = tokens[here] @ self._expert(int(expert)).T
        out = mx.array(y)
        return out + mx.expand_dims(self["bias"][mx.array(chosen)], -2) if "bias" in self else out

    def _expert(self, number: int) -> Floats:
        """(outputs, inputs)"""
        weight: Floats = _numpy(self["weight"])[number]
        return weight


class _StoredExperts(_SwitchLinear):
    """Experts in the form in which the model folder holds them."""

    def _expert(self, number: int) -> Floats:
        if "scales" not in self:
            return _numpy(self["weight"][number])
        return _numpy(_dequantized({name: array[number] for name, array in _packed(self).items()}, self.form))


_FAST: dict[type[Module], type[Module]] = {
    Linear: _Linear,
    Embedding: _Embedding,
    SwitchLinear: _SwitchLinear,
    QuantizedLinear: _Linear,
    QuantizedEmbedding: _Embedding,
    QuantizedSwitchLinear: _SwitchLinear,
}


def _in_float32(module: Module, *, stored_experts: bool) -> Module:
    # Only the exact classes: a subclass may compute something else.
    fast = _FAST.get(type(module))
    if fast is None:
        return module
    stored = stored_experts and fast is _SwitchLinear
    kind: type[Module] = _StoredExperts if stored else fast
    new = kind.__new__(kind)
    _init_module(new)
    if "scales" not in module:
        new.weight = module["weight"]
    elif stored:
        for name, array in _packed(module).items():
            setattr(new, name, array)
        new.form = _form(module)
    else:
        new.weight = _dequantized(_packed(module), _form(module))
    if "bias" in module:
        new.bias = module["bias"]
    return new


def _packed(module: Module) -> dict[str, mx.array]:
    parts = ((name, module.get(name)) for name in ("weight", "scales", "biases", "global_scale"))
    return {name: array for name, array in parts if array is not None}


def _form(module: Module) -> Form:
    return module.group_size, module.bits, module.mode


def _dequantized(parts: Mapping[str, mx.array], form: Form) -> mx.array:
    packed, scales, overall = parts["weight"], parts["scales"], parts.get("global_scale")
    if overall is not None and overall.ndim:  # nvfp4 experts: mlx takes the overall scale of one at a time
        each = zip(packed, scales, overall, strict=True)
        return mx.stack([mx.dequantize(p, s, None, *form, o, mx.float32) for p, s, o in each])
    return mx.dequantize(packed, scales, parts.get("biases"), *form, overall, mx.float32)


def _numpy(x: mx.array) -> Floats:
    """The same memory, once computed; a float32 view, cast where a model computed in something else."""
    return np.asarray(x.astype(mx.float32))


def _product(x: mx.array, weight: mx.array) -> mx.array:
    y = _numpy(x).reshape(-1, x.shape[-1]) @ _numpy(weight).T
    return mx.array(y).reshape(*x.shape[:-1], weight.shape[0])


def _attend(q: mx.array, k: mx.array, v: mx.array, scale: float, mask: str | mx.array | None) -> mx.array:
    """`q` (batch, heads, length, dim) on `k` and `v`, whose fewer heads each serve a group of `q`'s, never repeated.

    One group at a time, so that only its scores are in memory.
    """
    batch, heads, length, dim = q.shape
    shared, keys, width = k.shape[1], k.shape[2], v.shape[3]
    group = heads // shared
    added = _added(mask, (batch, heads, length, keys))
    queries = (_numpy(q) * np.float32(scale)).reshape(batch, shared, group * length, dim)
    keyed, valued = _numpy(k), _numpy(v)
    y = np.empty((batch, shared, group * length, width), np.float32)
    for b, h in np.ndindex(batch, shared):
        scores = queries[b, h] @ keyed[b, h].T
        if added is not None:
            by_head = scores.reshape(group, length, keys)
            by_head += added[b, h * group : (h + 1) * group]
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        y[b, h] = (scores @ valued[b, h]) / scores.sum(axis=-1, keepdims=True)
    return mx.array(y.reshape(batch, heads, length, width))


def _added(mask: str | mx.array | None, shape: tuple[int, int, int, int]) -> Floats | None:
    """What to add to scores of `shape`: like mlx, the least float32 where attention is not allowed, never infinity."""
    if mask is None:
        return None
    if isinstance(mask, str):  # "causal", the queries being the last of the keys
        length, keys = shape[-2:]
        allowed = np.tri(length, keys, keys - length, dtype=np.bool_)
    elif mask.dtype == mx.bool_:
        allowed = np.asarray(mask)
    else:
        return np.broadcast_to(_numpy(mask), shape)
    added = np.where(allowed, np.float32(0), np.finfo(np.float32).min)
    return np.broadcast_to(added, shape)
