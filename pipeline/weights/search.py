"""Affine quantization by least squared error: other scales, biases and codes than mlx's own, in the same format.

mlx spreads the codes of a group over its whole range, so that the two extreme weights decide how exact all others are.
Here every group starts from several ranges, narrowed at either end by a part of a step. For the codes that a start
makes, least squares gives the one best scale and bias; the best of these fits makes better codes, which are fitted
again. Each group keeps this, or mlx's own result where `mx.dequantize` brings that nearer: it is never worse.

Zero is not to be moved: weights near zero are what a model has turned off, often against an input that is always
large. Squared error alone puts zero anywhere between two codes, and by that a 135M model at 3 bits got worse although
its weights came nearer. So every group is fitted as if it held some more zeros. docs/quantization.md has the figures.
"""

from __future__ import annotations

import functools
import operator

import mlx.core as mx

Quantized = tuple[mx.array, mx.array, mx.array]
"""Weight, scales and biases, as `mx.quantize` returns them in mode affine."""

_Fits = tuple[mx.array, mx.array, mx.array]
"""Scales, biases and squared errors in float32, each of shape (fits, groups)."""

# Of a step, at the lower and at the upper end; in this unit the same serve 2 to 8 bits. Of many sets of five the best:
# the error comes within 1 % of what 169 starts reach, on trained, normal and Laplace weights.
_NARROWED = ((0.0, 0.0), (0.0, 0.6), (0.6, 0.0), (0.35, 0.55), (0.55, 0.35))
_REFITS = 2
_ZEROS = 4  # of so many weights in a group one more is taken to be zero
_BLOCK = 1 << 17  # weights at once: more do not fit into a core's cache with all their starts, fewer cost more calls
_TINY = 1e-30


def search(weight: mx.array, group_size: int, bits: int) -> Quantized:
    """`weight` quantized along its last axis, which `group_size` divides, with scales and biases in its own dtype.

    A group comes out the same whatever it lies beside, so that slabs do. Evaluated, in the memory of a few MB.
    """
    groups = weight.reshape(-1, group_size)
    blocks = []
    for start in range(0, groups.shape[0], _BLOCK // group_size):
        blocks.append(_quantize(groups[start : start + _BLOCK // group_size], bits))
        mx.eval(blocks[-1])
    codes, scales, biases = (
        mx.concatenate(list(parts)).reshape(*weight.shape[:-1], -1) for parts in zip(*blocks, strict=True)
    )
    return codes, scales, biases


def _quantize(groups: mx.array, bits: int) -> Quantized:
    """Of (groups, group size)."""
    plain = mx.quantize(groups, groups.shape[1], bits)
    found = _search(groups, bits)
    nearer = _error(found, groups, bits) < _error(plain, groups, bits)
    codes, scales, biases = (mx.where(nearer, *both) for both in zip(found, plain, strict=True))
    return codes, scales, biases


def _error(quantized: Quantized, groups: mx.array, bits: int) -> mx.array:
    lost = mx.dequantize(*quantized, groups.shape[1], bits).astype(mx.float32) - groups.astype(mx.float32)
    return mx.square(lost).sum(1, keepdims=True)


def _search(groups: mx.array, bits: int) -> Quantized:
    # From here on groups lie side by side along the last axis: sums over them are three times as fast.
    weights = mx.contiguous(groups.T).astype(mx.float32)
    largest = 2**bits - 1
    low, high = weights.min(0), weights.max(0)
    step = (high - low) / largest
    below, above = mx.array(_NARROWED).T[:, :, None]
    refit = functools.partial(_refit, weights, largest, groups.dtype)
    best = _least(refit(step * (1 - (below + above) / largest), low + below * step))
    for _ in range(_REFITS):
        scale, bias, _ = best
        best = _lesser(best, refit(scale, bias))
    scale, bias, _ = best
    codes = pack(_codes(weights, largest, scale, bias)[0], bits)
    return codes, scale.astype(groups.dtype).T, bias.astype(groups.dtype).T


def _refit(weights: mx.array, largest: int, dtype: mx.Dtype, scale: mx.array, bias: mx.array) -> _Fits:
    """What fits the codes best that each `scale` and `bias` make, and the squared error of those codes with it."""
    codes, zero = _codes(weights, largest, scale, bias), _codes(mx.zeros((1, 1)), largest, scale, bias)[:, 0]
    codes, zero = codes.astype(mx.float32), zero.astype(mx.float32)
    zeros = weights.shape[0] // _ZEROS
    size = weights.shape[0] + zeros
    sums, squares = weights.sum(0), mx.square(weights).sum(0)
    code_sums = codes.sum(1) + zeros * zero
    code_squares = mx.square(codes).sum(1) + zeros * mx.square(zero)
    products = (codes * weights).sum(1)
    spread = mx.maximum(size * code_squares - mx.square(code_sums), 1)  # a whole number, zero where all codes are equal
    scale = _stored((size * products - code_sums * sums) / spread, dtype)
    bias = _stored((sums - scale * code_sums) / size, dtype)
    crossed = scale * (bias * code_sums - products) - bias * sums
    return scale, bias, squares + mx.square(scale) * code_squares + size * mx.square(bias) + 2 * crossed


def _codes(weights: mx.array, largest: int, scale: mx.array, bias: mx.array) -> mx.array:
    """(fits, group size, groups)."""
    inverse = 1 / mx.maximum(scale, _TINY)
    steps = weights * inverse[:, None] + (0.5 - bias * inverse)[:, None]
    return mx.clip(steps, 0, largest + 0.5).astype(mx.uint8)  # the cast cuts the fraction off: together this rounds


def _stored(array: mx.array, dtype: mx.Dtype) -> mx.array:
    """Rounded as the file will hold it."""
    return array.astype(dtype).astype(mx.float32)


def _least(fits: _Fits) -> _Fits:
    """The one of the least error in every group."""
    index = mx.argmin(fits[2], 0, keepdims=True)
    scale, bias, error = (mx.take_along_axis(part, index, 0) for part in fits)
    return scale, bias, error


def _lesser(one: _Fits, other: _Fits) -> _Fits:
    less = other[2] < one[2]
    scale, bias, error = (mx.where(less, b, a) for a, b in zip(one, other, strict=True))
    return scale, bias, error


def pack(codes: mx.array, bits: int) -> mx.array:
    """Codes (group size, groups) as mlx packs them: one stream of bits a group, lowest first, in words of 32."""
    eights = (codes[index::8].astype(mx.uint64) << (bits * index) for index in range(8))
    numbers = mx.contiguous(functools.reduce(operator.or_, eights).T)  # each in the first `bits` of its 8 bytes
    stream = numbers.view(mx.uint8).reshape(*numbers.shape, 8)[..., :bits]
    return stream.reshape(numbers.shape[0], -1).view(mx.uint32)
