"""All cards of a pull request in one comment."""

from __future__ import annotations

from pipeline.card.changes import Change, Diff
from pipeline.card.github_comment import LIMIT
from pipeline.card.pull_request import MARKER, Touched, page


def changed(name, unified="", figures=1):
    rows = tuple(Change(f"figure {number}", "worse", 1.0, 2.0, unit="nats") for number in range(figures))
    return Diff(name, "HEAD^1", "what renders now", figures=rows, unified=unified)


def test_the_comment_is_found_by_its_first_line_and_tells_of_every_card_in_turn():
    text = page([Touched("v2.5", "", changed("v2.5")), Touched("v3", "", changed("v3"))])
    assert text.startswith(f"{MARKER}\n## Model cards\n")
    assert text.index("### v2.5") < text.index("### v3")
    assert text.count("| **worse** |") == 2
    assert "[!WARNING]" not in text


def test_what_cannot_stay_so_is_a_warning_above_the_changes():
    text = page([Touched("v3", "releases/v3/README.md is not what its inputs render\nSee it.", changed("v3"))])
    assert "> [!WARNING]\n> releases/v3/README.md is not what its inputs render\\\n> See it.\n" in text
    assert text.index("[!WARNING]") < text.index("### v3")


def test_a_card_that_cannot_be_rendered_says_why():
    text = page([Touched("v3", "releases/v3/release.yaml:3:1: <b>`no`</b>", None)])
    assert "### v3: no card\n\n> [!WARNING]\n" in text
    assert "<b>" not in text.replace(r"\<b\>", "")


def test_code_in_a_warning_is_code():
    text = page([Touched("v3", "`*` is <b> as `pipeline card v3 --diff` says, ` and", None)])
    assert "> `*` is \\<b\\> as `pipeline card v3 --diff` says, \\` and\n" in text


def test_many_cards_share_the_room_of_one_comment():
    unified = "--- committed\n+++ rendered\n" + "+a line of the card\n" * 4000
    cards = [Touched(f"v{number}", "", changed(f"v{number}", unified, figures=200)) for number in range(9)]
    text = page(cards)
    assert len(text.encode()) <= LIMIT
    assert all(f"### v{number}" in text for number in range(9)), "each has its share"
    assert "left out" in text
    assert len(page(cards, 1_000_000).encode()) > 5 * LIMIT, "the summary of a workflow holds more"
