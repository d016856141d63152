from __future__ import annotations

import charts
import pytest

from pipeline.card import figures
from pipeline.card.alt import LONGEST, words
from pipeline.card.charts import Bar


@pytest.mark.parametrize("kind", ["scatter", "lines"])
def test_every_number_that_is_drawn_is_told(kind):
    chart = charts.EVERY[kind]()
    said = words(chart)
    for one in chart.series if kind == "scatter" else chart.panels[0].series:
        assert one.label in said
        for point in one.points:
            place = figures.byte_size(int(point.x)) if kind == "scatter" else figures.grouped(int(point.x))
            assert f"{point.said} at {place}" in said


def test_every_bar_is_told_with_its_bytes_share_and_precision():
    assert words(charts.bars()) == (
        "Where the bytes are: 30 MB. mlp.down_proj 18.0 MB (60 %) as 5 bit g64; "
        "embed_tokens 11.0 MB (35 %) as 8 bit g64; 3 others 1.00 MB (5.0 %) as bfloat16."
    )


def test_it_says_what_is_better_and_whose_figures_are_reported():
    said = words(charts.lines())
    assert said.startswith(
        "Tokens per second, higher is better (a note). Reading a prompt: this model 226.4 at 1,000, "
    )
    assert "; MLX 3 bit (reported) 217 at 1,000" in said
    assert words(charts.scatter()).startswith(
        "Perplexity, lower is better, by size of the weights (a note). this model 3.777"
    )


def test_where_all_are_reported_the_note_says_so_once():
    both = [charts.series(name, (10, 2.0), reported=True) for name in "ab"]
    assert "(reported)" not in words(charts.scatter(*both))


def test_it_is_bounded_and_says_what_is_missing():
    said = words(charts.bars(*(Bar("x" * 60, "y" * 60, n, 0.1, 4.5) for n in range(40))))
    assert len(said) < LONGEST + 20
    told = said.count(" as y")
    assert 5 < told < 40
    assert said.endswith(f"; and {40 - told} more.")
