from __future__ import annotations

import io

import pytest
from PIL import Image

from pipeline.card import png

PALETTE = bytes([255, 255, 255, 0, 114, 178, 10, 20, 30])
CONTENT = png.encode(3, PALETTE, bytes([0, 1, 2, 2, 1, 0]), ("pipeline-plot", "5e" * 32))


def test_every_reader_sees_the_same_opaque_pixels():
    with Image.open(io.BytesIO(CONTENT)) as image:
        assert image.size == (3, 2)
        assert not image.has_transparency_data
        white, blue, dark = (255, 255, 255), (0, 114, 178), (10, 20, 30)
        assert list(image.convert("RGB").get_flattened_data()) == [white, blue, dark, dark, blue, white]


def test_nothing_but_what_was_given_lies_in_the_file():
    with Image.open(io.BytesIO(CONTENT)) as image:
        image.load()
        assert image.info == {"pipeline-plot": "5e" * 32}
    assert png.text(CONTENT, "pipeline-plot") == "5e" * 32
    assert png.text(CONTENT, "pipeline") is None


@pytest.mark.parametrize(
    "broken",
    [b"", b"GIF89a", CONTENT[:8], CONTENT[:60], CONTENT[:-12], CONTENT.replace(b"5e5e", b"6e5e", 1), CONTENT + b"x"],
    ids=["empty", "other", "signature", "cut", "no end", "altered", "more"],
)
def test_a_broken_file_says_nothing(broken):
    assert png.text(broken, "pipeline-plot") is None


def test_a_picture_that_another_program_made_says_nothing():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(stream, "PNG")
    assert png.text(stream.getvalue(), "pipeline-plot") is None
