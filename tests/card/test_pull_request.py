"""All cards of a pull request in one comment."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

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


def test_what_a_problem_says_calls_nobody_and_refers_to_nothing():
    problem = "ask @octocat, see #12, o/r#3 and GH-4\n#5"
    for diff in (None, changed("@v3")):
        text = page([Touched("@v3#1", problem, diff)])
        assert not re.search(r"@\w|#\d|GH-\d", text)
        assert "octocat" in text


@pytest.mark.parametrize("count", [1, 20, 60])
@pytest.mark.parametrize("problem", ["", "@x\n" * 2000, "\N{GRINNING FACE}" * 9000])
def test_many_cards_share_the_room_of_one_comment(count, problem):
    unified = "--- committed\n+++ rendered\n" + "+a line of the card\n" * 4000
    remarks = tuple(f"the remark {number} {'*' * 400}" for number in range(10))
    cards = [
        Touched(f"v{number}", problem, replace(changed(f"v{number}", unified, figures=200), remarks=remarks))
        for number in range(count)
    ]
    text = page(cards)
    assert len(text.encode()) <= LIMIT
    assert all(f"### v{number}: 200 worse" in text for number in range(count)), "each has its share"
    assert "left out" in text
    assert len(page(cards, 1_000_000).encode()) > len(text.encode()), "the summary of a workflow holds more"


def test_cards_are_left_out_whole_where_each_would_have_no_room_and_those_that_fail_last():
    cards = [Touched(f"v{number}", "no" if number == 199 else "", changed(f"v{number}")) for number in range(200)]
    text = page(cards)
    shown = text.count("\n### v")
    assert 60 <= shown < 70
    assert len(text.encode()) <= LIMIT
    assert "### v199:" in text
    assert text.endswith(f"\n{200 - shown} more cards are left out here: a comment holds no more.\n")


@pytest.mark.parametrize("limit", [0, 3, 100, 200, 1100, 1500, 3000])
def test_however_little_room_there_is_it_is_a_comment(limit):
    text = page([Touched("v1", "no " * 100, changed("v1")), Touched("v2", "no " * 100, None)], limit)
    assert text.startswith(MARKER)
    assert len(text.encode()) <= max(limit, 200)
    assert "left out" in text or limit > 2000
