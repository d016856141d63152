from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.weights.headers import BITS, parse_header
from pipeline.weights.shards import arrange, divide, shard_name

TENSORS = st.dictionaries(
    st.text("abc.é", min_size=1, max_size=5),
    st.tuples(st.sampled_from(["U32", "BF16", "U8", "F32", "I64"]), st.lists(st.integers(0, 3), max_size=3).map(tuple)),
    max_size=8,
).map(lambda table: [(name, dtype, shape) for name, (dtype, shape) in table.items()])


@given(st.lists(st.integers(0, 9), min_size=1), st.integers(1, 12))
def test_tensors_are_divided_as_mlx_lm_divides_them(sizes, most):
    from mlx_lm.utils import make_shards

    theirs = make_shards({index: SimpleNamespace(nbytes=size << 30) for index, size in enumerate(sizes)}, most)
    assert [list(part) for part in divide([size << 30 for size in sizes], most << 30)] == [
        list(part) for part in theirs
    ]


def test_files_are_named_as_mlx_lm_names_them():
    assert shard_name(1, 1) == "model.safetensors"
    assert shard_name(2, 11) == "model-00002-of-00011.safetensors"


@given(TENSORS)
def test_an_arranged_file_is_a_sound_one_with_every_tensor_aligned(tensors):
    header, placed = arrange("m.safetensors", tensors)
    size = len(header) + sum(tensor.nbytes for tensor in placed)
    content = header + b"\0" * (size - len(header))
    read = parse_header("m.safetensors", size, lambda start, length: content[start : start + length])
    assert read == {tensor.name: tensor for tensor in placed}
    assert {(tensor.name, tensor.dtype, tensor.shape) for tensor in placed} == set(tensors)
    assert all(tensor.start % (BITS[tensor.dtype] // 8) == 0 for tensor in placed)


def test_stock_readers_open_an_arranged_file(tmp_path):
    import mlx.core as mx
    import safetensors

    header, placed = arrange("m.safetensors", [("odd", "U8", (3,)), ("é", "BF16", (2, 2)), ("words", "U32", (1,))])
    path = tmp_path / "m.safetensors"
    path.write_bytes(header + bytes(range(sum(tensor.nbytes for tensor in placed))))
    loaded, metadata = mx.load(str(path), return_metadata=True)
    assert metadata == {"format": "mlx"}
    assert loaded["odd"].tolist() == [12, 13, 14]
    with safetensors.safe_open(path, "np") as opened:
        assert set(opened.keys()) == {"odd", "é", "words"}
        assert opened.get_tensor("words").tolist() == [0x03020100]
