from __future__ import annotations

from itertools import pairwise

import pytest

from pipeline.card import frame


def opened(**limits):
    canvas = frame.titled("A title", "A note.", 3.6)
    axes = frame.axes(canvas, (0.8, 0.6), (7.6, 3.3), ("x", "y"))
    axes.set(**limits)
    return canvas, axes


def said(labels):
    return [label.get_text() for label in labels]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((3.681, 3.819), ["3.70", "3.75", "3.80"]),
        ((89.7, 237.4), ["100", "150", "200", "250"]),
        ((12.5, 12.5), ["12.0", "12.5", "13.0"]),
        ((0.0, 0.0312), ["0.00", "0.01", "0.02", "0.03"]),
        ((0.004, 1.9), ["0.01", "0.1", "1"]),
        ((20.0, 14020.0), ["100", "1,000", "10,000"]),
        ((224.0, 12441.0), ["200", "500", "1,000", "2,000", "5,000", "10,000"]),
    ],
)
def test_ticks_are_round_numbers_that_tell_their_places_apart(values, ticks):
    _, axes = opened()
    of = frame.scale(values, 0.1, apart=12)
    assert of.low < min(values)
    assert max(values) < of.high
    frame.number_ticks(axes, of)
    assert said(axes.get_yticklabels()) == ticks


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((350e9, 449e9), ["360 GB", "380 GB", "400 GB", "420 GB", "440 GB"]),
        ((48e6, 269e6), ["50 MB", "100 MB", "200 MB"]),
        ((900e9, 1.3e12), ["0.9 TB", "1 TB", "1.1 TB", "1.2 TB", "1.3 TB"]),
    ],
)
def test_sizes_are_in_the_unit_that_suits_them(values, ticks):
    _, axes = opened()
    frame.byte_ticks(axes, frame.scale(values, 0.1, apart=3))
    assert said(axes.get_xticklabels()) == ticks


def test_words_of_lengths_do_not_touch_and_the_longest_is_there():
    canvas, axes = opened(xscale="log", xlim=(100, 40_000))
    lengths = [100, 110, 120, 500, 1000, 1024, 20_000, 32_768]
    frame.length_ticks(canvas, axes, lengths)
    boxes = sorted(
        (label.get_window_extent(frame.renderer(canvas)) for label in axes.get_xticklabels()), key=lambda box: box.x0
    )
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    assert "32,768" in said(axes.get_xticklabels())
    assert len(boxes) > 3


def test_a_text_is_cut_to_its_room_and_no_further():
    canvas, _ = opened()
    text = "model.layers.0.mlp.switch_mlp.down_proj"
    assert frame.fitted(canvas, text, 9) == text
    cut = frame.fitted(canvas, text, 1.5)
    assert frame.width(canvas, cut) <= 1.5 < frame.width(canvas, f"{cut}mm")
    assert cut.startswith("model")
    assert cut.endswith("_proj")


def test_a_long_note_takes_two_lines_and_no_more():
    heights = [
        frame.titled("A title", note, 3).figure.get_figheight() for note in ("", "a note", "word " * 40, "word " * 400)
    ]
    assert heights == [pytest.approx(3.55 + 0.18 * lines) for lines in (0, 1, 2, 2)]
