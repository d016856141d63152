from __future__ import annotations

import os

import mlx.core as mx
import pytest

from pipeline.evaluate import read_ahead
from pipeline.evaluate.read_ahead import ReadAhead


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        tensors = {
            f"model.layers.{layer}.{name}.weight": mx.ones((16, 16))
            for layer in range(number * 2, number * 2 + 2)
            for name in ("a", "b")
        }
        mx.save_safetensors(str(tmp_path / f"model-0000{number}.safetensors"), {**tensors, f"head{number}": mx.ones(4)})
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(read_ahead, "_into_cache", lambda _handle, start, count: ranges.append((start, count)))
    return ranges


def ahead(folder, layer):
    reader = ReadAhead(folder)
    reader(layer)
    if reader._thread:
        reader._thread.join()
    return reader


def test_the_bytes_of_a_layer_are_asked_for(folder, asked):
    reader = ahead(folder, 2)
    expected = [(tensor.start, tensor.nbytes) for tensor in reader._tensors[2]]
    assert sorted(asked) == sorted(expected)
    assert [count for _, count in asked] == [1024, 1024]


def test_nothing_is_asked_for_where_there_is_no_memory(folder, asked, monkeypatch):
    monkeypatch.setattr(read_ahead, "available", lambda: 4000)
    ahead(folder, 2)
    assert asked == []


def test_a_layer_of_another_count_is_no_error(folder, asked):
    ahead(folder, 77)
    assert asked == []


def test_files_that_are_gone_or_broken_are_for_others_to_tell(folder, asked):
    (folder / "model-00000.safetensors").write_bytes(b"junk")
    reader = ReadAhead(folder)
    (folder / "model-00001.safetensors").unlink()
    for layer in range(4):
        reader(layer)
        if reader._thread:
            reader._thread.join()
    assert asked == []


def test_the_whole_stretch_is_read(folder, monkeypatch):
    path = folder / "model-00000.safetensors"
    handle = os.open(path, os.O_RDONLY)
    read: list[tuple[int, int]] = []
    monkeypatch.setattr(read_ahead, "_BLOCK", 1000)
    monkeypatch.setattr(os, "pread", lambda _handle, count, start: read.append((start, count)))
    try:
        read_ahead._into_cache(handle, 100, 2500)
    finally:
        os.close(handle)
    assert read == [(100, 1000), (1100, 1000), (2100, 500)]
