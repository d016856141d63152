"""Evidence against thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import pytest

from pipeline.evidence import Evidence, Measurement
from pipeline.release import schema
from pipeline.release.change import Change, Unknown
from pipeline.release.judge import JUDGEMENTS, judge
from pipeline.release.schema import Thresholds, Waiver

SETTINGS = {"text": "d" * 64, "window": 512, "windows": 16}
TEN = Thresholds(perplexity_increase="10 %", generation=False)
SPEAKS = Thresholds()


def measured(measure, subject, settings=SETTINGS, **values):
    return Measurement(measure, subject, "a" * 64, values, settings, {}, {}, "2025-01-01T00:00:00Z")


def perplexity(subject, value, *, settings=SETTINGS, tokens=8176, error=0.1):
    return measured("perplexity", subject, settings, perplexity=value, standard_error=error, tokens=tokens)


def divergence(settings=SETTINGS, tokens=8176, **values):
    known = {"kl_mean": 0.031, "kl_p99": 0.42, "top1": 0.942, "loss_difference": 0.04, "loss_difference_error": 0.01}
    settings = {**settings, "baseline": {"repo": "someone/model"}}
    return measured("divergence", "quantized", settings, **{**known, "tokens": tokens, **values})


def verdict(thresholds, *measurements, **more):
    [found] = judge(thresholds, Evidence(measurements), **more)
    return found


def asked(**keys):
    return Thresholds(**{"generation": False, **keys})


@dataclass(frozen=True)
class Footprint:
    """Weights of a gigabyte, and a cache of 100 kB a token unless it is unknown."""

    known: bool = True
    nbytes: int = 1_000_000_000

    def memory(self, context):
        return self.nbytes + 100_000 * context if self.known else None


def test_an_increase_within_the_threshold_passes_and_says_by_how_much():
    found = verdict(TEN, perplexity("base", 12.5), perplexity("quantized", 13.0))
    assert found.passed
    assert (found.threshold, found.asked) == ("perplexity increase", "at most 10 % over the base")
    assert found.measured == "+4 % ± 1.13 % (13.000 against 12.500)"
    assert found.why == "+4 % is within 10 %"


def test_an_increase_beyond_the_threshold_fails():
    found = verdict(TEN, perplexity("base", 12.5), perplexity("quantized", 97.0))
    assert not found.passed
    assert found.why == "+676 % is more than 10 %"


def test_an_increase_beyond_all_measure_has_no_decimals():
    found = verdict(TEN, perplexity("base", 12.5), perplexity("quantized", 11_653_904.0, error=1_620_125.0))
    assert found.why == "+93,231,132 % is more than 10 %"
    assert "± 12,961,000 %" in found.measured


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


@pytest.mark.parametrize(
    ("limit", "value", "passed", "why"),
    [
        ("0.5 points", 13.0, True, "+0.50 points is within 0.5 points"),
        ("0.5 points", 13.1, False, "+0.60 points is more than 0.5 points"),
        ("4 errors", 13.0, True, "+3.54 errors is within 4 errors"),
        ("3 errors", 13.0, False, "+3.54 errors is more than 3 errors"),
        ("1 error", 12.0, True, "-3.54 errors is within 1 error"),
    ],
)
def test_an_increase_is_limited_as_an_amount_or_in_errors(limit, value, passed, why):
    found = verdict(asked(perplexity_increase=limit), perplexity("base", 12.5), perplexity("quantized", value))
    assert (found.passed, found.why) == (passed, why)


def test_the_paired_difference_decides_where_the_divergence_was_measured():
    """It says +4.1 % at an error of a quarter of that, while the two figures' own errors would hide any difference."""
    three, five = asked(perplexity_increase="3 errors"), asked(perplexity_increase="5 errors")
    wide = [perplexity("base", 12.5, error=1.0), perplexity("quantized", 13.01, error=1.0)]
    assert verdict(three, *wide).passed
    found = verdict(three, *wide, divergence())
    assert not found.passed
    assert found.measured == "+4.00 errors (+4.08 % ± 1.04 %, 13.010 against 12.500)"
    assert verdict(five, *wide, divergence()).passed
    assert verdict(asked(perplexity_increase="4 %"), *wide, divergence()).why == "+4.08 % is more than 4 %"


def test_a_divergence_on_other_tokens_does_not_decide_about_perplexity():
    elsewhere = divergence(settings={**SETTINGS, "window": 1024}, loss_difference=2.0)
    assert verdict(TEN, perplexity("base", 12.5), perplexity("quantized", 13.0), elsewhere).passed


def test_the_divergence_alone_is_enough_for_a_share_and_not_for_an_amount():
    assert verdict(asked(perplexity_increase="5 %"), divergence()).measured == "+4.08 % ± 1.04 %"
    found = verdict(asked(perplexity_increase="5 points"), divergence())
    assert (found.passed, found.why) == (False, "the perplexity of the base on the same tokens is not known")


def test_an_error_that_is_not_known_fails_a_threshold_in_errors_only():
    one_window = divergence(loss_difference_error=None)
    found = verdict(asked(perplexity_increase="9 errors"), one_window)
    assert (found.passed, found.why) == (False, "the error of the difference is not known")
    assert verdict(asked(perplexity_increase="5 %"), one_window).passed


def test_another_release_is_what_the_perplexity_is_held_against():
    against = asked(perplexity_increase="2 %", against="v2.8")
    base = [perplexity("base", 1.0), perplexity("quantized", 13.0)]
    found = verdict(against, *base, earlier=Change(12.9, 13.0 / 12.9, 0.01, 0.8, paired=True))
    assert found.passed
    assert found.asked == "at most 2 % over v2.8"
    assert found.measured == "+0.78 % ± 1 % (13.000 against 12.900)"
    assert not verdict(against, *base, earlier=Change(12.0, 13.0 / 12.0, 0.01, 8, paired=True)).passed
    found = verdict(against, *base, earlier=Unknown("releases/v2.8/evidence.json is not there"))
    assert (found.passed, found.measured, found.why) == (False, "nothing", "releases/v2.8/evidence.json is not there")
    assert not verdict(against, *base).passed


@pytest.mark.parametrize(
    ("key", "met", "missed", "told"),
    [
        ("kl_mean", 0.031, 0.03, ("KL mean", "at most 0.03 nats", "0.031 nats", "0.031 nats is more than 0.03 nats")),
        ("kl_p99", 0.42, 0.4, ("KL p99", "at most 0.4 nats", "0.42 nats", "0.42 nats is more than 0.4 nats")),
        ("top1", "94.2 %", "95 %", ("top-1 agreement", "at least 95 %", "94.2 %", "94.2 % is less than 95 %")),
    ],
)
def test_divergence_is_limited_from_above_and_agreement_from_below(key, met, missed, told):
    assert verdict(asked(**{key: met}), divergence()).passed
    found = verdict(asked(**{key: missed}), divergence())
    assert not found.passed
    assert (found.threshold, found.asked, found.measured, found.why) == told


@pytest.mark.parametrize("key", ["kl_mean", "kl_p99", "top1"])
def test_a_divergence_that_was_not_measured_never_passes(key):
    thresholds = asked(**{key: "0 %" if key == "top1" else 1000})
    found = verdict(thresholds, perplexity("base", 12.5))
    assert (found.passed, found.why) == (False, "the divergence from the base was not measured")
    for value in (math.nan, -math.inf, None, True, "0.01"):
        assert "no finite" in verdict(thresholds, divergence(**{key: value})).why


def test_serving_is_judged_like_generation():
    serves = asked(serving=True)
    assert verdict(serves, measured("serving", "quantized", passed=True, problems=[])).passed
    found = verdict(serves, measured("serving", "quantized", passed=False, problems=["it answered 500"]))
    assert (found.passed, found.measured, found.why) == (False, "1 problem", "it answered 500")
    found = verdict(serves, measured("generation", "quantized", passed=True, problems=[]))
    assert (found.passed, found.why) == (False, "nobody asked it through `mlx_lm.server`")


def test_size_and_memory_are_judged_to_the_byte():
    size = asked(size="1 GB")
    assert verdict(size, footprint=Footprint()).passed
    found = verdict(size, footprint=Footprint(nbytes=1_000_000_001))
    assert (found.passed, found.measured, found.why) == (False, "1,000,000,001 bytes", "1 byte too many")
    memory = asked(memory="1.2 GB at 2k")
    found = verdict(memory, footprint=Footprint())
    assert found.asked == "at most 1,200,000,000 bytes of weights and cache with 2,048 tokens read"
    assert (found.passed, found.why) == (False, "4,800,000 bytes too many")
    assert verdict(asked(memory="1.2 GB at 1k"), footprint=Footprint()).why == "97,600,000 bytes to spare"


def test_what_is_not_known_of_the_size_never_passes():
    assert not verdict(asked(size="1 TB")).passed
    found = verdict(asked(memory="1 TB at 1k"), footprint=Footprint(known=False))
    assert (found.passed, found.why) == (False, "how much the cache takes is not known for this architecture")


def test_a_waiver_excuses_a_miss_and_is_no_pass():
    waiver = Waiver(threshold="kl_mean", why="Rare tokens only.")
    both = asked(kl_mean=0.03, kl_p99=0.4)
    mean, p99 = judge(both, Evidence((divergence(),)), waivers=[waiver])
    assert (mean.outcome, mean.passed, mean.waived) == ("waived", False, "Rare tokens only.")
    assert (p99.outcome, p99.passed, p99.waived) == ("miss", False, "")
    met = verdict(asked(kl_mean=0.04), divergence(), waivers=[waiver])
    assert (met.outcome, met.waived) == ("pass", "")


def test_every_threshold_can_be_judged_and_waived():
    assert set(JUDGEMENTS) == set(get_args(schema.Threshold)) == set(Thresholds.model_fields) - {"against"}


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
