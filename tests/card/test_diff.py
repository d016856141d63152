from __future__ import annotations

from pipeline.card.diff import differs


def test_equal_cards_do_not_differ():
    assert differs("a\nb\n", "a\nb\n") == ""


def test_the_diff_shows_old_and_new():
    shown = differs("a\nperplexity 13.02\nb\n", "a\nperplexity 13.03\nb\n")
    assert shown.splitlines()[:2] == ["--- committed", "+++ rendered"]
    assert "-perplexity 13.02\n+perplexity 13.03\n" in shown


def test_a_missing_last_newline_is_a_difference():
    assert differs("a\n", "a")
    assert differs("a\u2028b\n", "a\nb\n")
