from __future__ import annotations

import io
from dataclasses import replace

import charts
import pytest
from PIL import Image

from pipeline.card import assets
from pipeline.card.plots import Plot

SPEED = Plot("assets/speed.png", "words", charts.lines())
BARS = Plot("assets/bytes_by_class.png", "words", charts.bars())
FLIPPED = replace(SPEED, data=charts.lines(charts.series("this model", (1000, 226.5), (5000, 237.4), own=True)))


@pytest.fixture
def folder(tmp_path):
    assert assets.write(tmp_path, [SPEED, BARS]) == (SPEED.path, BARS.path)
    return tmp_path


def test_what_was_written_is_right_and_stays_as_it_is(folder):
    before = (folder / SPEED.path).stat().st_mtime_ns
    assert assets.wrong(folder, [SPEED, BARS]) == {}
    assert assets.write(folder, [SPEED, BARS]) == ()
    assert (folder / SPEED.path).stat().st_mtime_ns == before


def test_a_missing_one_is_named_and_drawn(folder):
    (folder / BARS.path).unlink()
    assert assets.wrong(folder, [SPEED, BARS]) == {BARS.path: "is missing"}
    assert assets.write(folder, [SPEED, BARS]) == (BARS.path,)
    assert assets.wrong(folder, [SPEED, BARS]) == {}


def test_a_figure_that_was_changed_is_noticed(folder):
    told = "was drawn from other figures, or in another way"
    assert assets.wrong(folder, [FLIPPED, BARS]) == {SPEED.path: told}
    before = (folder / SPEED.path).read_bytes()
    assert assets.write(folder, [FLIPPED, BARS]) == (SPEED.path,)
    assert (folder / SPEED.path).read_bytes() != before
    assert assets.wrong(folder, [SPEED, BARS]) == {SPEED.path: told}


def test_another_style_is_noticed(folder, monkeypatch):
    monkeypatch.setattr("pipeline.card.plots.STYLE", -1)
    assert set(assets.wrong(folder, [SPEED, BARS])) == {SPEED.path, BARS.path}


def test_words_alone_are_in_the_card_and_not_in_the_picture(folder):
    assert assets.wrong(folder, [replace(SPEED, alt="other words"), BARS]) == {}


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "damaged"])
def test_a_broken_file_is_drawn_again(folder, content):
    path = folder / SPEED.path
    good = path.read_bytes()
    path.write_bytes(good[:2000] + b"\xff" + good[2001:] if content is None else content)
    assert set(assets.wrong(folder, [SPEED, BARS])) == {SPEED.path}
    assets.write(folder, [SPEED, BARS])
    assert path.read_bytes() == good


def test_one_that_is_no_longer_wanted_is_removed_and_a_picture_of_others_stays(folder):
    Image.new("RGB", (2, 2)).save(folder / "assets" / "photo.png")
    (folder / "assets" / "notes.txt").write_text("mine")
    assert assets.wrong(folder, [BARS]) == {SPEED.path: "shows what the card no longer does"}
    assert assets.write(folder, [BARS]) == (SPEED.path,)
    assert sorted(path.name for path in (folder / "assets").iterdir()) == [
        "bytes_by_class.png",
        "notes.txt",
        "photo.png",
    ]


def test_a_release_draws_over_a_picture_that_only_claims_to_show_something(folder):
    """Its digest says what it was drawn from; only drawing it says what it shows."""
    path = folder / SPEED.path
    good = path.read_bytes()
    stream = io.BytesIO()
    with Image.open(io.BytesIO(good)) as image:
        fields = image.info
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("pipeline-plot", fields["pipeline-plot"])
    Image.new("RGB", (1200, 500), "red").save(stream, "PNG", pnginfo=info)
    path.write_bytes(stream.getvalue())
    assert assets.write(folder, [SPEED, BARS]) == ()
    assert assets.write(folder, [SPEED, BARS], anew=True) == (SPEED.path, BARS.path)
    assert path.read_bytes() == good


def test_nothing_is_wanted_where_nothing_is(tmp_path):
    assert assets.wrong(tmp_path, []) == {}
    assert assets.write(tmp_path, []) == ()
    assert list(tmp_path.iterdir()) == []
