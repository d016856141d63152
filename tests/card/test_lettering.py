from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.font_manager import get_font

from pipeline.card import frame
from pipeline.card.lettering import font, label, lettered, spread

places = st.lists(st.floats(-50, 150, allow_nan=False), min_size=1, max_size=12)


@given(places)
def test_labels_are_apart_in_order_and_inside(wanted):
    found = spread(wanted, 8, 0, 100)
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in found)
    assert all(high - low >= 7.999 for low, high in pairwise(sorted(found)))
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], index))
    assert sorted(range(len(found)), key=lambda index: found[index]) == order


def test_labels_that_have_room_stay_where_they_belong():
    assert spread([90, 10, 50], 8, 0, 100) == [90, 10, 50]
    assert spread([50, 50], 8, 0, 100) == [46, 54]


def test_more_labels_than_there_is_room_for_share_it():
    assert spread([5, 5, 5], 80, 0, 100) == [0, 50, 100]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("$x^2$ costs $5", "$x^2$ costs $5"),
        ("gnp\N{RIGHT-TO-LEFT OVERRIDE}.exe", "gnp\N{REPLACEMENT CHARACTER}.exe"),
        ("\N{CJK UNIFIED IDEOGRAPH-6A21} \N{GRINNING FACE} π é ±", "\N{REPLACEMENT CHARACTER} \N{GRINNING FACE} π é ±"),
    ],
)
def test_words_of_others_are_one_line_of_glyphs_that_there_are(text, shown):
    assert lettered(text) == shown


def test_both_ends_of_a_long_name_are_shown():
    assert lettered("SmolLM2-135M-Instruct-imatrix-Q4_K_M.gguf", 28) == "SmolLM2-135M-Ins…Q4_K_M.gguf"


@pytest.mark.parametrize("bold", [False, True])
def test_the_fonts_are_those_that_matplotlib_ships(bold):
    import matplotlib as mpl

    file = font(9, bold=bold).get_file()
    assert file.startswith(mpl.get_data_path())
    assert get_font(file).family_name == "DejaVu Sans"


def test_labels_of_points_that_lie_close_cover_neither_each_other_nor_the_points():
    canvas = frame.titled("A title", "", 3.6)
    axes = frame.axes(canvas, (0.8, 0.6), (7.6, 3.3), ("x", "y"))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    renderer = frame.renderer(canvas)
    taken = []
    for x, y in ((5, 5), (5.2, 5.2), (9.8, 5), (0.2, 5), (5, 9.8), (5, 0.2)):
        text = frame.write(canvas, 0, 0, "MLX 2.8 bit v1\n3.768 ± 0.021")
        taken.append(label(axes, renderer, (x, y), text, taken))
    room = axes.get_window_extent(renderer)
    for one, other in combinations(taken, 2):
        assert not one.overlaps(other)
    assert all(room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1 for box in taken)
