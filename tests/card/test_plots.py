from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import charts
import pytest
from markdown_it import MarkdownIt

from pipeline.card import png
from pipeline.card.alt import LONGEST
from pipeline.card.plots import KEYWORD, NAMES, Plot, draw, plots, shown
from pipeline.lock import TensorClass


def test_each_plot_is_there_only_where_there_is_evidence_for_it(demo, fast):
    def names(inputs):
        return [Path(plot.path).stem for plot in plots(inputs)]

    assert names(demo.inputs) == ["bytes_by_class"]
    assert names(fast.inputs) == ["speed", "bytes_by_class"]
    sized = replace(demo.lock, base=replace(demo.lock.base, bytes=269_000_000))
    assert names(replace(demo.inputs, lock=sized)) == ["quality_by_size", "bytes_by_class"]
    assert names(replace(demo.inputs, lock=replace(demo.lock, classes=()))) == []


def test_the_same_figures_have_the_same_digest_and_others_have_another(fast):
    first, second = ({plot.path: plot.digest for plot in plots(fast.inputs)} for _ in range(2))
    assert first == second
    changed = [
        fast.speed(prompt=[fast.rate(1000, 412.319, 3.51)], generation=[fast.rate(500, 21.4466, 0.231)])
        if one.measure == "speed" and one.subject == "quantized"
        else one
        for one in fast.evidence.measurements
    ]
    other = {plot.path: plot.digest for plot in plots(fast.with_evidence(*changed).inputs)}
    assert first["assets/speed.png"] != other["assets/speed.png"]
    assert first["assets/bytes_by_class.png"] == other["assets/bytes_by_class.png"]


def test_the_picture_carries_the_digest_of_its_plot():
    plot = Plot("assets/speed.png", "words", charts.lines())
    assert png.text(draw(plot), KEYWORD) == plot.digest
    assert re.fullmatch("[0-9a-f]{64}", plot.digest)


@pytest.mark.parametrize(
    "text",
    [
        "](javascript:alert(1)) ![x](https://evil.example/p.png)",
        "{{ 7*7 }} {% raw %} <img src=x onerror=alert(1)>",
        "| a | b |\n\n# Owned\n```",
        "gnp\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT MARK}\N{ZERO WIDTH SPACE}.exe",
        "x" * 100_000,
    ],
    ids=range(5),
)
def test_names_of_others_are_words_of_the_image_and_nothing_else(demo, text):
    classes = (TensorClass(text, 10, text, 10), TensorClass(f"{text}y", 10, "8 bit g64", 10))
    image = shown(plots(replace(demo.inputs, lock=replace(demo.lock, classes=classes))))["bytes_by_class"]
    rendered = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(image)
    assert re.fullmatch(r'<p><img src="assets/bytes_by_class.png" alt="[^"]*" /></p>\n', rendered)
    assert len(image) < 2 * LONGEST
    assert not set("\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT MARK}\N{ZERO WIDTH SPACE}\n") & set(image)


def test_only_plots_that_there_are_can_be_named_by_a_template(fast):
    found = shown(plots(fast.inputs))
    assert set(found) == {"speed", "bytes_by_class"} < set(NAMES)
    assert found["speed"].startswith("![Tokens per second, higher is better")
    assert found["speed"].endswith("](assets/speed.png)")


def test_matplotlib_is_loaded_only_to_draw():
    loaded = "pipeline.cli, pipeline.commands.release, pipeline.card.assets"
    program = f"import sys, {loaded}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
