"""Which measurements may stand in one column."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.evidence import Measurement
from pipeline.release.comparable import on_other_tokens, why_not

TEXT = {"repo": "demo/leads", "file": "evaluation.txt", "sha256": "a" * 64}
SETTINGS = {"text": TEXT, "window": 512, "windows": 16, "token_ids": "b" * 64, "backend": "cpu", "dtype": "float32"}
ONE = Measurement(
    "perplexity",
    "quantized",
    "c" * 64,
    {"perplexity": 12.5, "tokens": 8176},
    SETTINGS,
    {"mlx": "0.32.4", "mlx-lm": "0.32.2", "python": "3.11"},
    {"chip": "M3", "memory": 10**9, "os": "macOS 15"},
    "2026-01-01T00:00:00Z",
)


def changed(**settings):
    return replace(ONE, settings={**SETTINGS, **settings})


def test_what_was_measured_alike_is_comparable_whenever_and_of_whatever_model():
    other = replace(
        ONE,
        subject="base",
        weights="d" * 64,
        measured_at="2027-01-01T00:00:00Z",
        values={**ONE.values, "perplexity": 99},
    )
    assert why_not(ONE, other) == ""


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (changed(text={**TEXT, "repo": "other/leads", "sha256": "e" * 64}), "text.repo demo/leads against other/leads"),
        (changed(text={**TEXT, "sha256": "e" * 64}), "text.sha256 aaaaaaaaaaaa... against eeeeeeeeeeee..."),
        (changed(window=1024), "window 512 against 1024"),
        (changed(dtype="bfloat16"), "dtype float32 against bfloat16"),
        (changed(harness="llama.cpp"), "harness pipeline against llama.cpp"),
        (replace(ONE, values={"perplexity": 12.5, "tokens": 9000}), "tokens 8176 against 9000"),
        (replace(ONE, measure="speed"), "perplexity is not speed"),
        (
            changed(window=1, windows=2, dtype="x", backend="y", token_ids="z"),
            "backend cpu against y, dtype float32 against x, token_ids bbbbbbbbbbbb... against z and 2 more",
        ),
    ],
)
def test_what_was_measured_otherwise_is_not_and_it_says_why(other, why):
    assert why_not(ONE, other) == why


def test_a_reported_figure_without_its_settings_is_comparable_with_nothing():
    bare = replace(ONE, settings={}, source="reported")
    for other in (ONE, bare):
        assert why_not(other, bare) == why_not(bare, other) == "how a reported figure was taken is not known"
    assert why_not(replace(ONE, source="reported"), ONE) == ""
    elsewhere = replace(bare, settings={"reported": "https://example.org/figures"})
    assert why_not(elsewhere, elsewhere) == "how a reported figure was taken is not known"


def test_the_model_and_the_place_of_a_figure_are_no_way_of_measuring():
    told = changed(command="llama-bench -m a.gguf", model={"file": "a.gguf"}, reported="https://example.org/a")
    assert why_not(told, changed(command="llama-bench -m b.gguf", model={"file": "b.gguf"})) == ""


def test_figures_without_a_text_need_no_settings():
    data_free = replace(ONE, measure="weight_error", settings={})
    assert why_not(data_free, data_free) == ""


def test_speed_is_that_of_a_machine_and_of_what_computes_there_and_quality_is_not():
    elsewhere = {"machine": {"chip": "M1", "memory": 10**9}, "tools": {**ONE.tools, "mlx": "0.33.0"}}
    assert why_not(ONE, replace(ONE, **elsewhere)) == ""
    speed = replace(ONE, measure="speed")
    assert why_not(speed, replace(speed, **elsewhere)) == "machine.chip M3 against M1, tools.mlx 0.32.4 against 0.33.0"
    assert why_not(speed, replace(speed, tools={**ONE.tools, "python": "3.12"})) == ""
    assert why_not(speed, replace(speed, machine={**ONE.machine, "os": "macOS 16"})) == ""
    assert why_not(speed, replace(speed, machine={**ONE.machine, "gpu": "RTX"})) == "machine.gpu unknown against RTX"


def test_perplexity_and_divergence_may_be_of_the_same_tokens():
    divergence = replace(changed(baseline={"repo": "someone/model"}), measure="divergence")
    assert why_not(divergence, ONE)
    assert on_other_tokens(divergence, ONE) == ""
    assert on_other_tokens(divergence, changed(window=1024)) == "window 512 against 1024"
