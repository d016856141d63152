"""What the pictures are made of; how they look, a person has to see."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import charts
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from pipeline.card.charts import Bar
from pipeline.card.drawing import pixels
from pipeline.card.plots import Plot, draw

HIGHLIGHT, WHITE = (0x00, 0x72, 0xB2), (255, 255, 255)
PROGRAM = """
import hashlib, sys
import charts
from pipeline.card.plots import Plot, draw
for chart in (charts.scatter(), charts.lines(), charts.bars()):
    print(hashlib.sha256(draw(Plot("assets/x.png", "", chart))).hexdigest())
"""
MATPLOTLIBRC = """
font.family: monospace
font.size: 30
figure.facecolor: black
axes.facecolor: red
axes.grid: False
lines.linewidth: 9
savefig.transparent: True
text.usetex: True
text.antialiased: False
path.sketch: (1, 100, 2)
"""


def drawn(chart):
    with Image.open(io.BytesIO(draw(Plot("assets/x.png", "", chart)))) as image:
        image.load()
        return image


def colours(image):
    return {colour for _, colour in image.convert("RGB").getcolors(1 << 16)}


@pytest.mark.parametrize("kind", charts.EVERY)
def test_the_picture_is_opaque_of_full_width_and_not_blank(kind):
    image = drawn(charts.EVERY[kind]())
    assert not image.has_transparency_data
    assert image.width == 1200
    rows = np.asarray(image.convert("RGB"))
    edge = np.concatenate([rows[0], rows[-1], rows[:, 0], rows[:, -1]])
    assert (edge == WHITE).all(), "white up to the edge, whatever the page behind it looks like"
    dark = (rows.astype(int).sum(axis=2) < 300).mean()
    assert 0.004 < dark < 0.3


@pytest.mark.parametrize("kind", ["scatter", "lines"])
def test_this_release_stands_out(kind):
    assert HIGHLIGHT in colours(drawn(charts.EVERY[kind]()))
    others = charts.series("a", (10, 2.0)), charts.series("b", (20, 3.0), (30, 2.0))
    assert HIGHLIGHT not in colours(drawn(charts.EVERY[kind](*others)))


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "MATPLOTLIBRC": "matplotlibrc", "MPLCONFIGDIR": "."},
        {"PYTHONHASHSEED": "2", "LC_ALL": "de_DE.UTF-8", "HOME": "/dev/null", "MPLBACKEND": "svg"},
    ],
    ids=["styled", "no home"],
)
def test_nothing_that_a_person_has_set_changes_a_pixel(tmp_path, environment):
    """And where matplotlib cannot keep its list of fonts, nobody is told."""
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MPL", "MATPLOTLIB", "XDG"))}
    paths = [str(Path(charts.__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=tmp_path,
        env={**clean, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    here = [hashlib.sha256(draw(Plot("assets/x.png", "", chart()))).hexdigest() for chart in charts.EVERY.values()]
    assert done.stdout.split() == here


def test_settings_that_keep_matplotlib_from_loading_are_an_error_that_says_so():
    program = PROGRAM.replace("import hashlib", "import os; os.environ['MPLBACKEND'] = 'nonsense'\nimport hashlib")
    paths = os.pathsep.join([str(Path(charts.__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PipelineError: the plots of the card cannot be drawn, since matplotlib does not load: " in done.stderr
    assert "'nonsense'" in done.stderr


def test_what_was_set_in_this_process_stays_set():
    with mpl.rc_context({"lines.linewidth": 7.5}):
        pixels(charts.lines())
        assert mpl.rcParams["lines.linewidth"] == 7.5


@pytest.mark.parametrize("kind", charts.EVERY)
def test_hostile_labels_are_letters_like_any_others(kind):
    """No warning, no mathematics, no picture of another size: of a long name there is as much as there is room for."""
    texts = [
        r"$\frac{1}{0}$ and $ and \mathbf{",
        r"$\nonsense{$",
        "one\ntwo\r\nthree\x00\x1b[31m",
        "x" * 100_000,
        "W" * 60,
        "gnp\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT MARK}\N{ZERO WIDTH SPACE}.exe",
        "\N{CJK UNIFIED IDEOGRAPH-6A21}\N{GRINNING FACE}\N{HEBREW LETTER ALEF}",
        "",
    ]
    if kind == "bars":
        chart = charts.bars(*(Bar(text, text, 10 - n, 0.1, 4.5) for n, text in enumerate(texts)))
    else:
        chart = charts.EVERY[kind](*(charts.series(text, (10 + n, 2.0 + n)) for n, text in enumerate(texts)))
    image = drawn(chart)
    assert (image.width, image.height < 800) == (1200, True)
    if target := os.environ.get("KEEP_PLOTS"):
        image.save(Path(target) / f"hostile-{kind}.png")


@pytest.mark.parametrize("kind", charts.EVERY)
def test_another_figure_is_another_picture(kind):
    chart = charts.EVERY[kind]
    if kind == "bars":
        changed = chart(Bar("mlp.down_proj", "5 bit g64", 19_000_000, 0.6, 5.5), *chart().bars[1:])
    else:
        changed = chart(charts.series("this model", (350, 3.7), own=True), charts.series("b", (400, 3.8)))
    assert pixels(changed) != pixels(chart())
    assert pixels(chart()) == pixels(chart())


@pytest.mark.parametrize(
    "points",
    [
        [(1000, 5.0), (1000, 5.0)],
        [(1000, 5.0, 0.0), (2000, 5.0, 0.0)],
        [(1, 1e-9), (10**12, 1e9)],
        [(512, 12000.0, 81.0), (512, 20.0, 30.0)],
        [(tokens, 3.0 + tokens / 1e4) for tokens in range(1000, 1100)],
    ],
    ids=["one place", "no errors", "all sizes", "error below nothing", "many"],
)
@pytest.mark.parametrize("kind", ["scatter", "lines"])
def test_every_range_of_figures_can_be_drawn(kind, points):
    found = [charts.series(f"model {index}", point, own=index == 0) for index, point in enumerate(points[:12])]
    assert drawn(charts.EVERY[kind](*found)).width == 1200
    if kind == "lines":
        assert drawn(charts.lines(charts.series("all", *points))).width == 1200


@pytest.mark.parametrize("kind", charts.EVERY)
def test_the_file_is_small(kind):
    assert len(draw(Plot("assets/x.png", "", charts.EVERY[kind]()))) < 60_000


def test_hollow_marks_are_those_of_reported_figures():
    reported = drawn(
        charts.scatter(charts.series("a", (1, 2.0), own=True, reported=True), charts.series("b", (3, 2.0)))
    )
    measured = drawn(charts.scatter(charts.series("a", (1, 2.0), own=True), charts.series("b", (3, 2.0))))
    ink = [(np.asarray(one.convert("RGB")) == HIGHLIGHT).all(axis=2).sum() for one in (reported, measured)]
    assert ink[0] < ink[1]
