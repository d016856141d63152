"""Evidence against thresholds."""

from __future__ import annotations

import math

import pytest

from pipeline.evidence import Evidence, Measurement
from pipeline.release.judge import judge
from pipeline.release.schema import Thresholds

SETTINGS = {"text": "d" * 64, "window": 512, "windows": 16}
TEN = Thresholds(perplexity_increase="10 %", generation=False)
SPEAKS = Thresholds()


def measured(measure, subject, settings=SETTINGS, **values):
    return Measurement(measure, subject, "a" * 64, values, settings, {}, {}, "2025-01-01T00:00:00Z")


def perplexity(subject, value, *, settings=SETTINGS, tokens=8176):
    return measured("perplexity", subject, settings, perplexity=value, standard_error=0.1, tokens=tokens)


def verdict(thresholds, *measurements):
    [found] = judge(thresholds, Evidence(measurements))
    return found


def test_an_increase_within_the_threshold_passes_and_says_by_how_much():
    found = verdict(TEN, perplexity("base", 12.5), perplexity("quantized", 13.0))
    assert found.passed
    assert (found.threshold, found.asked) == ("perplexity increase", "at most 10 % over the base")
    assert found.measured == "+4 % (13.000 against 12.500)"
    assert found.why == "+4 % is within 10 %"


def test_an_increase_beyond_the_threshold_fails():
    found = verdict(TEN, perplexity("base", 12.5), perplexity("quantized", 97.0))
    assert not found.passed
    assert found.why == "+676 % is more than 10 %"


def test_an_increase_of_exactly_the_threshold_passes():
    zero = Thresholds(perplexity_increase="0 %", generation=False)
    assert verdict(zero, perplexity("base", 12.5), perplexity("quantized", 12.5)).passed
    assert not verdict(zero, perplexity("base", 12.5), perplexity("quantized", 12.5001)).passed


@pytest.mark.parametrize(
    ("present", "told"),
    [((), "base and quantized"), (("base",), "the quantized"), (("quantized",), "the base")],
)
def test_a_missing_measurement_fails_with_that_reason(present, told):
    found = verdict(TEN, *(perplexity(subject, 12.5) for subject in present))
    assert not found.passed
    assert f"{told} model was not measured" in found.why


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        ({"settings": {**SETTINGS, "window": 1024}}, "window 512 against 1024"),
        ({"settings": {**SETTINGS, "text": "e" * 64}}, "text dddddddddddd... against eeeeeeeeeeee..."),
        ({"settings": {**SETTINGS, "dtype": "float32"}}, "dtype unknown against float32"),
        ({"tokens": 9000}, "tokens 8176 against 9000"),
    ],
)
def test_measurements_made_differently_are_not_compared(difference, told):
    found = verdict(TEN, perplexity("base", 12.5, **difference), perplexity("quantized", 12.5))
    assert not found.passed
    assert found.why == f"the two measurements are not comparable: {told}"


@pytest.mark.parametrize("value", [math.nan, math.inf, 0, -1, None, True, "12.5"])
@pytest.mark.parametrize("subject", ["base", "quantized"])
def test_a_perplexity_that_is_no_number_never_passes(subject, value):
    others = {"base": 12.5, "quantized": 12.5} | {subject: value}
    assert not verdict(TEN, *(perplexity(name, number) for name, number in others.items())).passed


def test_generation_passes_only_when_it_says_so_and_lists_no_problem():
    assert verdict(SPEAKS, measured("generation", "quantized", passed=True, problems=[])).passed
    for values in (
        {"passed": False, "problems": []},
        {"problems": []},
        {"passed": 1},
        {"passed": True, "problems": ["x"]},
    ):
        assert not verdict(SPEAKS, measured("generation", "quantized", **values)).passed
    found = verdict(SPEAKS, measured("generation", "quantized", passed=False, problems=["no end", "loops"]))
    assert (found.measured, found.why) == ("2 problems", "no end; loops")
    assert not verdict(SPEAKS, measured("generation", "base", passed=True, problems=[])).passed


def test_only_what_was_asked_is_judged():
    assert judge(Thresholds(generation=False), Evidence()) == ()
    both = judge(Thresholds(perplexity_increase="1 %"), Evidence())
    assert [found.threshold for found in both] == ["perplexity increase", "generation"]
