"""The benchmarks at toy size, so that they still run when somebody wants to measure."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

TINY = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "moe_intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 64,
    "num_hidden_layers": 2,
}


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("index", [0, 1, 2])
def test_inputs_are_models_that_both_quantize_alike(index, script, tmp_path):
    benchmark = script("against_mlx_lm")
    config = {**benchmark.CASES[index].config, **TINY}
    benchmark.write_base(tmp_path / "base", config)
    benchmark._ours(tmp_path / "base", tmp_path / "ours")
    benchmark._theirs(tmp_path / "base", tmp_path / "theirs")
    benchmark._compare(tmp_path / "ours", tmp_path / "theirs")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["quantization"]["bits"] == benchmark.BITS


def test_ratios_are_those_of_neighbours_in_time(script):
    """The machine became three times slower half way: that is neither's merit."""
    benchmark = script("against_mlx_lm")
    ours = tuple(benchmark.Run(seconds, seconds, 100) for seconds in (1, 1, 3))
    theirs = tuple(benchmark.Run(seconds, seconds, 900) for seconds in (2, 2, 6))
    row = benchmark.Row("dense", 10**9, ours, theirs)
    assert row.ratio(lambda run: run.wall) == 0.5
    assert "| dense | 1.0 GB | 1.0 s | 2.0 s | 0.50 |" in benchmark.markdown([row])


def test_the_error_and_the_perplexity_of_a_search_are_measured(script, smollm2_base, tmp_path):
    benchmark = script("search_quality")
    from pipeline.release.recipe import Precision

    text = "The quick brown fox jumps over the lazy dog. " * 60
    rows = [benchmark.Row(16, 0, "base", 0.0, 20.0, 1.0, 0.0)]
    rows += [
        benchmark._row(smollm2_base, text, 1, tmp_path / "model", Precision(8, 64, method=m))
        for m in ("round", "search")
    ]
    assert 0.001 < rows[2].error < rows[1].error < 0.01
    assert "| 8 | 64 | 0." in benchmark.markdown(rows)


def test_the_ladder_is_measured_and_its_order_is_checked(script, smollm2_base, tmp_path, monkeypatch):
    script("search_quality")
    benchmark = script("ladder")
    monkeypatch.setattr(benchmark, "BITS", (8, 2))
    monkeypatch.setattr(benchmark, "CHECKED", 4)
    text = "The quick brown fox jumps over the lazy dog, and nobody knows why it should. " * 8
    rows = list(benchmark.measure("dense", smollm2_base, tmp_path, text, windows=2, window=40))
    assert [row.bits for row in rows] == [16, 8, 2]
    assert rows[0].kl_mean == 0
    assert all(abs(row.theirs) < 1e-4 for row in rows)
    assert benchmark.falls(rows, "dense")
    assert not benchmark.falls([rows[0], *reversed(rows[1:])], "dense")
    assert benchmark.markdown(rows).count("| dense |") == 3


def test_streamed_and_resident_give_the_same_losses_under_a_limit(script, tmp_path, monkeypatch):
    benchmark = script("against_mlx_lm")
    benchmark = script("streamed_evaluation")
    monkeypatch.setattr(benchmark, "WINDOW", 16)
    config = {**benchmark.WIDE, **TINY, "vocab_size": 30_000}
    benchmark.write_base(tmp_path / "model", config)
    runs = {
        how: benchmark.alone(tmp_path / "model", how, limit) for how, limit in (("streamed", 10**9), ("resident", 0))
    }
    assert runs["streamed"].losses == runs["resident"].losses
    rows = [benchmark.Row("fits", 2, 10**9, how, None, (run,)) for how, run in runs.items()]
    assert "| fits | 2 | 1.0 GB | streamed |" in benchmark.markdown(rows)


@pytest.mark.parametrize("way", ["through Xet", "without Xet"])
def test_a_killed_upload_sends_no_more_than_one_shard_again(script, tmp_path, way):
    benchmark = script("killed_upload")
    sent = benchmark._sent(tmp_path, 3, 2_000_000, benchmark.WAYS[way])
    assert 3 * 2_000_000 <= sent < 4 * 2_000_000 + 50_000


def test_downloads_are_timed_and_killed(script, monkeypatch, capsys):
    asked = ["--size", "2", "--limit", "50", "--kills", "1", "--connections", "4"]
    monkeypatch.setattr(sys, "argv", ["downloads.py", *asked])
    script("downloads").main()
    said = capsys.readouterr().out
    assert "| 8 files | 4 | " in said
    assert "1 kills (seed 6): " in said
