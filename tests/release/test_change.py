"""How one perplexity differs from another, and what decides about its error."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.evidence import Evidence, Measurement
from pipeline.release.change import Unknown, between, from_base
from pipeline.release.losses import Losses

SETTINGS = {"text": "d" * 64, "token_ids": "t" * 64}


def perplexity(value, subject="quantized", error=0.5, **settings):
    values = {"perplexity": value, "standard_error": error, "tokens": 4}
    return Measurement("perplexity", subject, "a" * 64, values, {**SETTINGS, **settings}, {}, {}, "")


def losses(*rows, token_ids="t" * 64):
    return Losses(token_ids, np.array(rows, np.float32))


BEFORE, AFTER = losses((2.0, 3.0), (2.5, 2.5)), losses((2.2, 3.0), (2.7, 2.7))
EARLIER, LATER = (perplexity(math.exp(float(kept.nats.mean(dtype=np.float64))), error=4) for kept in (BEFORE, AFTER))


def test_without_losses_the_errors_of_both_figures_count():
    change = between(perplexity(12.0), perplexity(12.5))
    assert (change.share, change.points) == (pytest.approx(0.5 / 12), pytest.approx(0.5))
    assert change.points_error == pytest.approx(math.hypot(0.5, 0.5))
    assert (change.paired, change.word) == (False, "within error")


def test_with_the_losses_of_both_the_difference_is_paired():
    change = between(EARLIER, LATER, (BEFORE, AFTER))
    assert change.paired
    assert change.share == pytest.approx(math.exp(0.15) - 1, rel=1e-5)
    assert change.errors == pytest.approx(0.15 / 0.05, rel=1e-4)
    assert change.word == "worse"
    assert between(LATER, EARLIER, (AFTER, BEFORE)).word == "better"
    assert between(EARLIER, EARLIER, (BEFORE, BEFORE)).word == "same"


@pytest.mark.parametrize(
    "kept",
    [
        (None, AFTER),
        (BEFORE, None),
        (BEFORE, replace(AFTER, token_ids="u" * 64)),
        (BEFORE, BEFORE),
    ],
    ids=["none of the first", "none of the second", "of other tokens", "of another run"],
)
def test_losses_that_are_not_those_of_both_figures_are_not_used(kept):
    change = between(EARLIER, LATER, kept)
    assert (change.paired, change.word) == (False, "within error")


def test_figures_taken_otherwise_have_no_change_even_where_their_losses_pair():
    found = between(EARLIER, replace(LATER, settings={**SETTINGS, "dtype": "bfloat16"}), (BEFORE, AFTER))
    assert found == Unknown("the two measurements are not comparable: dtype bfloat16 against unknown")


def test_a_single_window_leaves_the_error_unknown():
    before, after = losses((2.0, 3.0)), losses((2.2, 3.0))
    figures = (perplexity(math.exp(float(kept.nats.mean(dtype=np.float64)))) for kept in (before, after))
    change = between(*figures, (before, after))
    assert (change.paired, change.error, change.errors, change.word) == (True, None, None, None)


def test_from_the_base_the_divergence_knows_more_than_two_perplexities():
    base, quantized = perplexity(12.0, "base"), perplexity(12.5)
    values = {"loss_difference": math.log(12.5 / 12.0), "loss_difference_error": 0.01, "tokens": 4}
    divergence = replace(
        quantized, measure="divergence", values=values, settings={**SETTINGS, "baseline": {"repo": "x/y"}}
    )
    change = from_base(Evidence((base, quantized, divergence)))
    assert (change.paired, change.word) == (True, "worse")
    assert (change.points, change.points_error) == (pytest.approx(0.5), pytest.approx(0.125))
    assert from_base(Evidence((base, quantized))).word == "within error"
    no_number = replace(divergence, values={**values, "loss_difference": math.nan})
    assert not from_base(Evidence((base, quantized, no_number))).paired


def test_the_model_that_was_not_measured_is_named():
    assert from_base(Evidence((LATER,))) == Unknown("the perplexity of the base model was not measured")


@pytest.mark.parametrize(("quantized", "paired"), [(12.5, True), (12.506, True), (12.9, False), (12.1, False)])
def test_a_divergence_that_contradicts_the_two_perplexities_is_not_believed(quantized, paired):
    base, quantized = perplexity(12.0, "base"), perplexity(quantized)
    values = {"loss_difference": math.log(12.5 / 12.0), "loss_difference_error": 0.01, "tokens": 4}
    divergence = replace(quantized, measure="divergence", values=values)
    change = from_base(Evidence((base, quantized, divergence)))
    assert change.paired is paired
    assert change.share == pytest.approx((12.5 if paired else quantized.values["perplexity"]) / 12.0 - 1)
    elsewhere = replace(quantized, settings={**SETTINGS, "window": 9})
    assert from_base(Evidence((base, elsewhere, divergence))).paired, "of other tokens it says nothing about it"
