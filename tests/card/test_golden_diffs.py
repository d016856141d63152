"""Whole diffs in every format, compared with those in tests/golden/diff.

`UPDATE_GOLDEN=1 pytest tests/card/test_golden_diffs.py` writes them anew; git then shows what a reviewer sees change.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import card_changes
import pytest
from rich.console import Console

from pipeline.card.github_comment import comment
from pipeline.console import show_card_diff

GOLDEN = Path(__file__).parents[1] / "golden" / "diff"
CASES = (
    "nothing", "worse", "better", "within-error", "error-unknown", "removed", "settings", "recipe", "front-matter",
    "words", "hostile",
)  # fmt: skip


def shown(diff, width, color=None):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=color, _environ={})
    show_card_diff(diff, console)
    return console.file.getvalue()


def check(name, text):
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8"), f"{path} differs; UPDATE_GOLDEN=1 writes it anew"


def test_every_case_has_its_golden_diffs(measured):
    assert tuple(card_changes.cases(measured)) == CASES


@pytest.mark.parametrize("case", CASES)
def test_a_diff_in_every_format(case, measured):
    diff = card_changes.named(measured, case)
    # One case keeps the whole text of the card, so that a change of a template is not reviewed eleven times.
    diff = diff if case == "worse" else replace(diff, unified=diff.unified and "-the old card\n+the new card\n")
    for width in (80, 120):
        check(f"{case}-{width}.txt", shown(diff, width))
    check(f"{case}.md", comment(diff))
    check(f"{case}.json", json.dumps(diff.to_json(), indent=2) + "\n")


@pytest.mark.parametrize(
    ("case", "verdict"), [("worse", "worse"), ("better", "better"), ("within-error", "within error")]
)
def test_one_edited_figure_is_one_line_with_its_verdict_in_every_format(case, verdict, measured):
    diff = card_changes.named(measured, case)
    of_terminal = [line for line in shown(diff, 80).splitlines() if line.startswith("  ")]
    of_comment = [line for line in comment(diff).splitlines() if line.startswith("| ")]
    assert len(of_terminal) == 1
    assert of_terminal[0].split("  ")[1] == verdict
    assert len(of_comment) == 2, "the head of the table, and the one row"
    assert of_comment[1].split(" | ")[0].strip("|* ") == verdict
    found = diff.to_json()
    assert [row["verdict"] for row in found["figures"]] == [verdict]
    assert [key for key in ("settings", "sizes", "facts", "front_matter", "words", "remarks") if found[key]] == []


def test_colour_only_where_it_is_wanted(measured):
    diff = card_changes.named(measured, "worse")
    assert "\x1b[31m" in shown(diff, 80, "standard")
    console = Console(file=io.StringIO(), force_terminal=False, _environ={})
    show_card_diff(diff, console)
    assert "\x1b" not in console.file.getvalue()


def test_a_change_stands_on_one_line_in_a_pipe(measured):
    diff = card_changes.named(measured, "hostile")
    console = Console(file=io.StringIO(), force_terminal=False, width=80, _environ={})
    show_card_diff(diff, console)
    figures = [line for line in console.file.getvalue().splitlines() if line.startswith("  added")]
    assert len(figures) == len(diff.figures)


def test_every_key_for_programs_is_documented(measured):
    page = (Path(__file__).parents[2] / "docs" / "card-diff.md").read_text("utf-8")
    found = card_changes.named(measured, "recipe").to_json()
    for key in (*found, *found["counts"], *found["sizes"][0], "same", "removed"):
        assert f"`{key}`" in page, key
