from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BaseModelError
from pipeline.weights.headers import Tensor, parse_header, read_header


def file_of(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def entry(dtype="F32", shape=(2,), offsets=(0, 8)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def parse(content: bytes) -> dict[str, Tensor]:
    return parse_header("m.safetensors", len(content), lambda start, length: content[start : start + length])


def test_what_a_real_writer_writes_is_read(tmp_path):
    import mlx.core as mx

    arrays = {"b": mx.zeros((3,), dtype=mx.bfloat16), "a": mx.ones((2, 3)), "c": mx.zeros((), dtype=mx.int64)}
    path = tmp_path / "m.safetensors"
    mx.save_safetensors(str(path), arrays)
    tensors = read_header(path)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("BF16", (3,)),
        "c": ("I64", ()),
    }
    start = tensors["a"].start
    assert path.read_bytes()[start : start + tensors["a"].nbytes] == struct.pack("<6f", *[1.0] * 6)


def test_an_empty_tensor_and_metadata_are_fine():
    content = file_of(
        {"__metadata__": {"format": "pt"}, "e": entry(shape=(0, 4), offsets=(0, 0)), "a": entry()}, b"x" * 8
    )
    assert parse(content)["e"].nbytes == 0


BROKEN = {
    "no length": (b"\1\2", "ends after 2 bytes"),
    "a huge length": (struct.pack("<Q", 1 << 63) + b"{}", "claims 9223372036854775808 bytes"),
    "a length beyond the file": (struct.pack("<Q", 3) + b"{}", "claims 3 bytes; the file has 10"),
    "not UTF-8": (file_of(b'{"\xff": 1}'), "not UTF-8"),
    "not JSON": (file_of(b"{"), "not JSON"),
    "deeply nested JSON": (file_of(b"[" * 200_000), "not JSON"),
    "an endless number": (file_of(b'{"a": {"shape": [' + b"9" * 5000 + b"]}}"), "not JSON"),
    "not a table": (file_of([]), "not a table"),
    "metadata of numbers": (file_of({"__metadata__": {"a": 1}}), "metadata"),
    "a name twice": (file_of(b'{"a": {}, "a": {}}'), "names 'a' twice"),
    "half a surrogate": (file_of(b'{"\\ud800": {}}'), "unprintable"),
    "an entry that is no table": (file_of({"a": 1}), "a is not described"),
    "a missing key": (file_of({"a": {"dtype": "F32"}}), "a is not described"),
    "an unknown dtype": (file_of({"a": entry(dtype="F7")}, b"x" * 8), "a is of the unknown dtype 'F7'"),
    "a dtype that is a list": (file_of({"a": entry(dtype=["F32"])}, b"x" * 8), "unknown dtype"),
    "a negative size": (file_of({"a": entry(shape=(-2, -1))}, b"x" * 8), "shape of a"),
    "a size that is a truth": (file_of({"a": entry(shape=(2, True))}, b"x" * 8), "shape of a"),
    "sizes that overflow": (file_of({"a": entry(shape=(1 << 62, 4, 1))}, b"x" * 8), "a has 8 bytes"),
    "one offset": (file_of({"a": entry(offsets=(0,))}, b"x" * 8), "data_offsets of a"),
    "offsets backwards": (file_of({"a": entry(offsets=(8, 0))}, b"x" * 8), "a has -8 bytes"),
    "too few bytes": (file_of({"a": entry(offsets=(0, 4))}, b"x" * 4), "a has 4 bytes; F32 [2] needs 8"),
    "half a byte": (file_of({"a": entry("F4", (3,), (0, 1))}, b"x"), "needs 1.5"),
    "a short file": (file_of({"a": entry()}, b"x" * 7), "a ends at byte"),
    "bytes left over": (file_of({"a": entry()}, b"x" * 9), "1 bytes at its end"),
    "an overlap": (file_of({"a": entry(), "b": entry(offsets=(4, 12))}, b"x" * 12), "b overlaps"),
    "a hole": (file_of({"a": entry(), "b": entry(offsets=(12, 20))}, b"x" * 20), "4 bytes before b"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_header_is_refused_by_name(what):
    content, message = BROKEN[what]
    with pytest.raises(BaseModelError) as caught:
        parse(content)
    assert str(caught.value).startswith("m.safetensors is not a sound safetensors file: ")
    assert message in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "U8", "F4"]) | JSON,
        "shape": st.lists(st.integers(-1, 4)) | JSON,
        "data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | JSON,
    }
)


@given(
    st.binary() | st.dictionaries(st.text(max_size=3), ENTRIES | JSON).map(lambda table: json.dumps(table).encode()),
    st.integers(0, 64),
    st.integers(-3, 3),
)
def test_no_header_does_anything_but_parse_exactly_or_be_refused(text, payload, lie):
    content = struct.pack("<Q", max(0, len(text) + lie)) + text + b"x" * payload
    try:
        tensors = parse(content)
    except BaseModelError:
        return
    covered = sorted((tensor.start, tensor.nbytes) for tensor in tensors.values())
    assert sum(size for _, size in covered) + (covered[0][0] if covered else len(content)) == len(content)
