"""A GGUF written by hand after ggml's specification, and read back weight by weight."""

from __future__ import annotations

import struct

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BaseModelError
from pipeline.weights.gguf import read_gguf, to_bfloat16

F32, F16, Q4_0, Q4_1, Q8_0 = 0, 1, 2, 3, 8
ROWS, GROUPS = 3, 2
COLUMNS = 32 * GROUPS


def string(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def write(path, tensors, texts):
    """`tensors`: name to (ggml type, shape, bytes); `texts`: metadata."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(texts))
    for key, value in texts.items():
        head += string(key) + struct.pack("<I", 8) + string(value)
    body = b""
    for name, (kind, shape, content) in tensors.items():
        # ggml counts dimensions from the innermost.
        head += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, len(body))
        body += content + bytes(-len(content) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + body)


def blocks(kind, random):
    """The bytes of a tensor, and its weights one by one as ggml defines them."""
    content, weights = b"", []
    for _ in range(ROWS * GROUPS):
        scale, least = (np.float16(x) for x in random.normal(size=2))
        content += scale.tobytes()
        if kind == Q8_0:
            numbers = random.integers(-128, 128, 32, dtype=np.int8)
            content += numbers.tobytes()
            weights += [np.float32(n) * np.float32(scale) for n in numbers]
            continue
        numbers = random.integers(0, 16, 32, dtype=np.uint8)
        # The low halves of 16 bytes are the first 16 weights, the high halves the other 16.
        packed = (numbers[:16] | (numbers[16:] << 4)).tobytes()
        if kind == Q4_1:
            content += least.tobytes() + packed
            weights += [np.float32(n) * np.float32(scale) + np.float32(least) for n in numbers]
        else:
            content += packed
            weights += [np.float32(int(n) - 8) * np.float32(scale) for n in numbers]
    # mlx keeps a symmetric zero as number times scale plus bias, which has no sign.
    return content, np.array(weights, np.float32).reshape(ROWS, COLUMNS) + np.float32(0)


def test_every_weight_is_what_ggml_defines(tmp_path):
    random = np.random.default_rng(1)
    plain = random.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    tensors, expected = {}, {"plain.weight": plain, "half.weight": plain.astype(np.float16).astype(np.float32)}
    for name, kind in (("four.weight", Q4_1), ("symmetric.weight", Q4_0), ("eight.weight", Q8_0)):
        content, expected[name] = blocks(kind, random)
        tensors[name] = (kind, (ROWS, COLUMNS), content)
    tensors["plain.weight"] = (F32, (ROWS, COLUMNS), plain.tobytes())
    tensors["half.weight"] = (F16, (ROWS, COLUMNS), plain.astype(np.float16).tobytes())
    write(tmp_path / "model.gguf", tensors, {"general.architecture": "llama"})

    gguf = read_gguf(tmp_path / "model.gguf")

    assert gguf.metadata["general.architecture"] == "llama"
    assert gguf.names == tuple(sorted(tensors))
    assert {name: gguf.bits(name) for name in gguf.names} == {
        "four.weight": 4,
        "symmetric.weight": 4,
        "eight.weight": 8,
        "plain.weight": 32,
        "half.weight": 16,
    }
    for name, weights in expected.items():
        assert gguf.shape(name) == (ROWS, COLUMNS)
        np.testing.assert_array_equal(gguf.bfloat16(name), to_bfloat16(weights), err_msg=name)


def test_large_tensors_are_read_in_blocks_without_a_seam(tmp_path, monkeypatch):
    content, weights = blocks(Q4_1, np.random.default_rng(2))
    write(tmp_path / "model.gguf", {"a.weight": (Q4_1, (ROWS, COLUMNS), content)}, {})
    monkeypatch.setattr("pipeline.weights.gguf._BLOCK", 2 * COLUMNS)
    np.testing.assert_array_equal(read_gguf(tmp_path / "model.gguf").bfloat16("a.weight"), to_bfloat16(weights))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=64))
def test_rounding_is_that_of_mlx(values):
    array = np.array(values, np.float32)
    cast = mx.array(array).astype(mx.bfloat16, stream=mx.cpu).view(mx.uint16, stream=mx.cpu)
    np.testing.assert_array_equal(to_bfloat16(array), np.array(cast))


@pytest.mark.parametrize(
    ("bits", "rounded"), [(0x3F808000, 0x3F80), (0x3F818000, 0x3F82), (0x3F808001, 0x3F81), (0x3F807FFF, 0x3F80)]
)
def test_ties_go_to_even(bits, rounded):
    assert to_bfloat16(np.array([bits], np.uint32).view(np.float32))[0] == rounded


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(BaseModelError, match="infinities or NaN"):
        to_bfloat16(np.array([1, value], np.float32))


def test_a_file_that_is_no_gguf_is_refused_by_name(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"this is no model" * 100)
    with pytest.raises(BaseModelError, match=r"broken\.gguf cannot be read as GGUF"):
        read_gguf(tmp_path / "broken.gguf")
