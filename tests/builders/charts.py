"""Charts to draw, with figures that are test inputs and not measurements."""

from __future__ import annotations

from pipeline.card.charts import Bar, Bars, Lines, Panel, Point, Scatter, Series


def series(label, *points, own=False, reported=False):
    """points: (x, y), or (x, y, error)."""
    made = tuple(Point(x, y, *(error or (None,)), f"{y:g}") for x, y, *error in points)
    return Series(label, made, own, reported)


def scatter(*found):
    found = found or (
        series("this model", (350e9, 3.777, 0.02), own=True),
        series("MLX 3 bit", (449e9, 3.798, 0.021), reported=True),
        series("MLX 2.8 bit v2", (377e9, 3.702, 0.02)),
    )
    return Scatter("Perplexity by size", "a note", "Size of the weights", "Perplexity, lower is better", tuple(found))


def lines(*found):
    found = found or (
        series("this model", (1000, 226.4, 3.5), (5000, 237.4, 1.2), (20000, 188.5, 2.0), own=True),
        series("MLX 3 bit", (1000, 217.0), (5000, 230.2), (20000, 186.5), reported=True),
        series("a GGUF", (1000, 148.8), (20000, 89.7)),
    )
    return Lines("Speed", "a note", (Panel("Reading a prompt", "Tokens in the prompt", tuple(found)),))


def bars(*found):
    found = found or (
        Bar("mlp.down_proj", "5 bit g64", 18_000_000, 0.6, 5.5),
        Bar("embed_tokens", "8 bit g64", 11_000_000, 0.35, 8.5),
        Bar("3 others", "bfloat16", 1_000_000, 0.05, 16.0),
    )
    return Bars("Where the bytes are", "30 MB", tuple(found))


EVERY = {"scatter": scatter, "lines": lines, "bars": bars}
