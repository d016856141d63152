from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.card.front_matter import parse

SHIPPED = Path(__file__).parents[2]
HEADING = "## Perplexity by other programs\n"
SURE = "The bold one is lower than any other of its table"


def part(card):
    return card.split(HEADING)[1].split("\n## ")[0]


def tables(card):
    """Each table with the line above it: its cells, row by row."""
    found = []
    for way in part(card).split("\nBy ")[1:]:
        how, _, rest = way.partition(":\n\n")
        lines = rest.split("\n\n")[0].splitlines()
        found.append(
            (how, [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if ":-" not in line])
        )
    return found


def test_without_such_figures_there_is_no_such_part(demo):
    assert HEADING not in demo.card()
    assert HEADING in demo.with_evidence(demo.theirs("one", 12.5)).card()


def test_models_that_were_measured_in_one_way_share_a_table(demo):
    card = demo.with_evidence(
        *demo.evidence.measurements, demo.theirs("one", 12.5, 0.1), demo.theirs("two", 12.44)
    ).card()
    ((how, rows),) = tables(card)
    assert how == (
        "mlx_lm.perplexity 0.30.7 on samples of 1000 tokens; `mlx_lm.perplexity --model MODEL`; "
        "reported at <https://example.org/4>"
    )
    assert rows == [["Model", "Perplexity"], ["`one`", "12.50 ± 0.10"], ["`two`", "12.4"]]
    assert "Figures marked as reported" in card


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": {"harness": "llama-perplexity"}},
        {"settings": {"build": "0.31"}},
        {"settings": {"build": None}},
        {"settings": {"text": "other words"}},
        {"settings": {"backend": "metal"}},
        {"settings": {"command": "mlx_lm.perplexity --model two --sequence-length 512"}},
        {"settings": {"command": None}},
        {"values": {"tokens": 4000}},
    ],
)
def test_figures_that_were_taken_in_two_ways_never_share_a_table(demo, changed):
    card = demo.with_evidence(demo.theirs("one", 12.5, 0.01), demo.theirs("two", 3.5, 0.01, **changed)).card()
    (one, first), (other, second) = tables(card)
    assert one != other
    assert [first[1:], second[1:]] == [[["`one`", "12.500 ± 0.010"]], [["`two`", "3.500 ± 0.010"]]]
    assert SURE not in card


@pytest.mark.parametrize(
    ("command", "alike"),
    [
        ("llama-perplexity -m {}.gguf -c 512", True),
        ("llama-perplexity --model='{} of mine.gguf' -c 512", True),
        ("python -m {} -c 512", False),
        ("llama-perplexity -mu {} -c 512", False),
    ],
)
def test_only_the_model_may_differ_between_the_command_lines_of_a_table(demo, command, alike):
    figures = [demo.theirs(name, 12.5, settings={"command": command.format(name)}) for name in ("one", "two")]
    found = tables(demo.with_evidence(*figures).card())
    assert len(found) == (1 if alike else 2)
    assert " -c 512" in found[0][0]
    assert ("MODEL" in found[0][0]) == alike


def test_a_command_line_that_all_share_is_shown_as_it_is(demo):
    settings = {"command": "llama-perplexity -m x.gguf"}
    card = demo.with_evidence(demo.theirs("one", 12.5, settings=settings)).card()
    assert "`llama-perplexity -m x.gguf`" in card


def test_rows_say_where_they_are_from_when_that_differs(demo):
    measured = demo.theirs("quantized", 13.0, settings={"reported": None}, source="measured")
    found = demo.with_evidence(
        demo.theirs("one", 12.5), measured, demo.theirs("base", 12.0, machine={"chip": "Apple M1"})
    )
    ((how, rows),) = tables(found.card())
    assert "reported" not in how
    assert rows == [
        ["Model", "Size", "Perplexity", "Against the base", "From"],
        ["**this model**", "106 MB", "13.0", "+1.000 (+8.3 %)", "measured"],
        ["`demo/SmolLM2-135M-Instruct`", "", "12.0", "", "Apple M1; reported at <https://example.org/4>"],
        ["`one`", "", "12.5", "+0.500 (+4.2 %)", "reported at <https://example.org/4>"],
    ]


def test_what_somebody_measured_is_not_called_reported(demo):
    card = demo.with_evidence(demo.theirs("one", 12.5, settings={"reported": None}, source="measured")).card()
    assert tables(card)[0][0].endswith("`mlx_lm.perplexity --model 'one'`")
    assert "reported" not in card


@pytest.mark.parametrize(
    ("figures", "bold"),
    [
        ([(12.5, 0.1), (12.0, 0.1)], "12.00 ± 0.10"),
        ([(12.5, 0.1), (12.22, 0.1)], None),  # twice the error of the difference is 0.283
        ([(12.5, 0.1), (12.0, None)], None),
        ([(12.5, None), (12.0, 0.1)], None),
        ([(12.5, None), (12.0, None)], None),
        ([(12.0, 0.1), (12.0, 0.1)], None),
        ([(12.5, 0.1)], None),
        ([(12.5, 0.1), (12.0, 0.1), (13.0, 1.0)], None),  # the highest is too uncertain, not the second
        ([(12.5, 0.1), (13.0, 0.1), (12.0, 0.1)], "12.00 ± 0.10"),
    ],
)
def test_the_lowest_is_marked_only_where_it_is_surely_lower_than_every_other(demo, figures, bold):
    measurements = [demo.theirs(f"model {i}", *figure) for i, figure in enumerate(figures)]
    settings = {"command": "the same"}
    same = [replace(one, settings={**one.settings, **settings}) for one in measurements]
    card = demo.with_evidence(*same).card()
    cells = [row[1] for row in tables(card)[0][1][1:]]
    assert [cell for cell in cells if "**" in cell] == ([f"**{bold}**"] if bold else [])
    assert (SURE in card) == bool(bold)


def test_own_figures_stay_by_themselves_and_nothing_else_on_the_card_changes(demo):
    figures = demo.theirs("one", 3.5, 0.01), demo.theirs("quantized", 3.4, 0.01), demo.theirs("base", 3.3, 0.01)
    alone, beside = demo.card(), demo.with_evidence(*figures, *demo.evidence.measurements).card()
    marked = "- Figures marked as reported were taken over from elsewhere and not measured again.\n"
    (fields, body), (own_fields, own_body) = parse(beside), parse(alone)
    assert body.replace(f"{HEADING}{part(beside)}\n", "").replace(marked, "") == own_body
    (index,), (own_index,) = fields.pop("model-index"), own_fields.pop("model-index")
    assert fields == own_fields
    assert index["results"][0] == own_index["results"][0]
    assert [result["source"]["url"] for result in index["results"][1:]] == ["https://example.org/4"]
