"""What the figures of evidence are called, and which way is better."""

from __future__ import annotations

import math

import pytest

from pipeline.evidence import Measurement
from pipeline.release.metrics import GENERATION, KL, PEAK_MEMORY, PERPLEXITY, SPEED, TOP1, WEIGHT_ERROR, figures, judged


def measured(measure, **values):
    return Measurement(measure, "quantized", "a" * 64, values, {}, {}, {}, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("metric", "difference", "error", "word"),
    [
        (PERPLEXITY, 1.0, 0.4, "worse"),
        (PERPLEXITY, -1.0, 0.4, "better"),
        (PERPLEXITY, 1.0, 0.5, "within error"),
        (PERPLEXITY, 0.0, 0.5, "within error"),
        (TOP1, 0.02, 0.005, "better"),
        (TOP1, -0.02, 0.005, "worse"),
        (SPEED, -3, 1, "worse"),
        (KL["kl_p99"], 0.1, None, None),
        (KL["kl_max"], -0.1, None, None),
        (PEAK_MEMORY, 1e9, None, None),
        (SPEED, -3, None, None),
        (WEIGHT_ERROR, 0.01, 0.0, "worse"),
        (GENERATION, -2, None, "better"),
        (KL["kl_p99"], 0.0, None, "same"),
        (KL["kl_p99"], 0.0, 0.0, "same"),
    ],
)
def test_what_a_difference_means_depends_on_the_metric_and_on_twice_the_error(metric, difference, error, word):
    assert judged(metric, difference, error) == word


def test_every_figure_comes_with_its_error_where_there_is_one():
    found = figures(
        measured("divergence", kl_mean=0.03, kl_mean_error=0.001, kl_p99=0.4, top1=0.94, loss_difference=0.1)
    )
    assert [(figure.name, figure.value, figure.error) for figure in found] == [
        ("KL mean", 0.03, 0.001),
        ("KL p99", 0.4, None),
        ("top-1 agreement", 0.94, None),
    ]


def test_weight_errors_are_exact_and_come_by_class():
    found = figures(measured("weight_error", all=0.1, classes={"mlp.up_proj": 0.2, "embed_tokens": 0.05}))
    assert [(figure.name, figure.value, figure.error) for figure in found] == [
        ("weight error", 0.1, 0.0),
        ("weight error of embed_tokens", 0.05, 0.0),
        ("weight error of mlp.up_proj", 0.2, 0.0),
    ]


def test_speed_comes_by_length_of_what_is_read_and_written():
    row = {"tokens": 1000, "tokens_per_second": 512.5, "deviation": 3.5, "peak_memory": 10**9}
    found = figures(measured("speed", prompt=[row], generation=[{"tokens": 500, "tokens_per_second": 40.0}]))
    assert [(figure.name, figure.metric.better, figure.value, figure.error) for figure in found] == [
        ("prompt of 1000 tokens", "higher", 512.5, 3.5),
        ("prompt of 1000 tokens, peak memory", "lower", 1e9, None),
        ("generation of 500 tokens", "higher", 40.0, None),
    ]


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"passed": True, "problems": []}, 0),
        ({"passed": False, "problems": ["a", "b"]}, 2),
        ({"passed": True, "problems": ["a"]}, 1),
        ({"passed": False, "problems": []}, 1),
        ({}, 1),
    ],
)
def test_a_check_counts_its_problems_and_passes_only_when_it_says_so(values, problems):
    assert [figure.value for figure in figures(measured("serving", **values))] == [problems]


@pytest.mark.parametrize("value", [math.nan, math.inf, None, True, "12", 10**400])
def test_what_is_no_number_is_no_figure(value):
    assert figures(measured("perplexity", perplexity=value)) == ()


def test_what_nobody_knows_has_no_figures():
    assert figures(measured("beauty", beauty=1.0)) == ()
