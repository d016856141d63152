from __future__ import annotations

import math

import pytest

from pipeline.card import quality
from pipeline.card.front_matter import parse
from pipeline.evidence import Evidence


@pytest.mark.parametrize(
    ("value", "verdict", "words"),
    [
        (12.9, "within error", "3.2 % higher, within the error"),
        (14.0, "worse", "12 % higher, beyond the error"),
        (11.0, "better", "12 % lower, beyond the error"),
        (12.5, "within error", "the same."),
    ],
)
def test_the_difference_is_judged_by_its_own_error(demo, value, verdict, words):
    changed = demo.with_evidence(demo.perplexity("base", 12.5, 0.4), demo.perplexity("quantized", value, 0.4))
    found = quality.read(changed.evidence).comparison
    assert found.verdict == verdict
    assert found.error == pytest.approx(0.4 * math.sqrt(2))
    assert words in changed.card()


def test_figures_taken_in_different_ways_are_not_compared(demo):
    base, quantized = demo.evidence.measurements[:2]
    other = demo.perplexity("base", 12.5, 0.4, settings={**base.settings, "window": 1024})
    card = demo.with_evidence(other, quantized).card()
    assert quality.read(Evidence((other, quantized))).comparison is None
    assert "would mean nothing" in card
    assert "%" not in card.split("## How good it is")[0].split("---\n", 2)[2]


def test_a_figure_that_is_no_number_is_said_and_not_compared(demo):
    card = demo.with_evidence(
        demo.perplexity("base", 12.5, 0.4), demo.perplexity("quantized", math.inf, math.nan)
    ).card()
    assert "Perplexity not finite." in card
    assert "model-index" not in parse(card)[0]


def test_without_the_base_the_card_says_that_it_is_missing(demo):
    card = demo.with_evidence(demo.perplexity("quantized", 13.0, 0.4)).card()
    assert "Perplexity 13.00 ± 0.40.**" in card
    assert "Not measured: perplexity of the base, answers," in card


def test_a_faultless_answer_is_shown_first(demo):
    bad = demo.answer("First?", "la la la", ["it repeats itself"])
    good = demo.answer("Second?", "Yes.")
    card = demo.with_evidence(demo.generation(bad, good)).card()
    assert "To “Second?” it said:\n\n> Yes.\n" in card
    assert "- “First?”: it repeats itself\n" in card
    assert "To “First?” it said:\n\n> la la la\n" in demo.with_evidence(demo.generation(bad)).card()


def test_reported_figures_are_marked(demo):
    reported = demo.perplexity("base", 12.5, 0.4, source="reported")
    card = demo.with_evidence(reported, demo.evidence.measurements[1]).card()
    assert "12.50 ± 0.40 (reported)" in card
    assert "Figures marked as reported" in card
    assert "reported" not in demo.card()


def test_a_reported_figure_may_come_without_its_settings(demo):
    bare = demo.perplexity("quantized", 13.0, 0.4, settings={}, source="reported")
    card = demo.with_evidence(bare).card()
    assert "13.00 ± 0.40 (reported)" in card
    assert "Measured on" not in card
    assert "Perplexity was measured on one text. Other kinds" in card
