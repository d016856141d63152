"""Whole cards, compared with those in tests/golden/card.

`UPDATE_GOLDEN=1 pytest tests/card` writes them anew; git then shows what a reader would see change.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "card"


def compare(name, card):
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(card, "utf-8")
    assert card == path.read_text("utf-8"), f"{path} differs; UPDATE_GOLDEN=1 writes it anew"


def test_a_release_to_the_local_hub(demo):
    compare("demo.md", demo.card())


def test_a_large_release_with_code_a_licence_of_its_own_and_a_fault(large):
    compare("large.md", large.card())


def test_a_release_with_its_figures_beside_those_of_a_gguf_and_reported_ones(fast):
    compare("fast.md", fast.card())


def test_a_release_of_which_everything_was_measured_and_a_threshold_waived(measured):
    compare("measured.md", measured.card())


def test_a_release_of_which_nothing_was_measured(demo):
    compare("unmeasured.md", demo.with_evidence().card())


def test_the_order_of_the_measurements_does_not_matter(demo):
    assert demo.with_evidence(*reversed(demo.evidence.measurements)).card() == demo.card()


@pytest.mark.parametrize("changed", ["measured_at", "commit"])
def test_what_is_only_known_later_or_changes_every_time_is_not_on_the_card(demo, changed):
    if changed == "commit":
        again = demo.with_lock(target=replace(demo.lock.target, commit="9" * 40))
    else:
        measurements = [replace(m, measured_at="2026-01-02T23:59:59Z") for m in demo.evidence.measurements]
        again = demo.with_evidence(*measurements)
    assert again != demo
    assert again.card() == demo.card()
