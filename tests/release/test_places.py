"""How a problem looks in a terminal."""

from __future__ import annotations

from pipeline.release.places import Place, Problem, did_you_mean, dotted, shown


def test_a_problem_names_its_place_and_points_at_it():
    place = Place("releases/a/release.yaml", 12, 9, "base.repo", "  repo:  x")
    assert str(Problem(place, "is wrong")) == (
        "releases/a/release.yaml:12:9: base.repo: is wrong\n   12 |   repo:  x\n      |         ^"
    )


def test_the_caret_keeps_its_column_after_tabs_and_wide_characters():
    line, caret = str(Problem(Place("f", 1, 4, "", "\t模型x"), "w")).splitlines()[1:]
    assert line == "    1 | \t模型x"
    assert caret == "      | \t    ^"


def test_a_long_line_is_cut_around_the_caret():
    line, caret = str(Problem(Place("f", 1, 501, "", "a" * 500 + "B" + "c" * 500), "w")).splitlines()[1:]
    assert line[caret.index("^")] == "B"
    assert len(line) < 120


def test_nothing_in_a_file_reaches_the_terminal_as_a_command():
    told = str(Problem(Place("f", 1, 1, "", "\x1b[2Jred"), f"not {shown(chr(27) + '[2J')}"))
    assert "\x1b" not in told


def test_a_problem_without_a_line_to_show_is_one_line():
    assert str(Problem(Place("f"), "is empty")) == "f:1:1: is empty"
    assert str(Problem(Place("f", 0), "cannot be read")) == "f: cannot be read"


def test_values_are_quoted_shortly():
    assert [shown(v) for v in (None, True, 3, "a\nb", (1,), {"a": 1})] == [
        "nothing",
        "true",
        "3",
        "'a\N{REPLACEMENT CHARACTER}b'",
        "a list",
        "keys with values",
    ]
    assert len(shown("x" * 1000)) < 70


def test_paths_and_suggestions():
    assert dotted(("rules", 3, "bits")) == "rules[3].bits"
    assert did_you_mean("BITZ", ["bits", "mode"]) == "; did you mean `bits`?"
    assert did_you_mean("colour", ["bits", "mode"]) == ""
