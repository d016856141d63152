"""Two releases side by side, as golden text, and words of others kept harmless."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pipeline.console import show_comparison
from pipeline.release.compare import Amounts, Apart, Comparison, Row
from pipeline.release.metrics import PERPLEXITY, Figure

COMPARISON = Comparison(
    names=("v2.8", "v2.5"),
    total=(Amounts(377_260_000_000, 2.94), Amounts(350_250_000_000, 2.73)),
    classes=(
        (
            "switch_mlp.down_proj",
            Amounts(120_000_000_000, 3.5, "3 bit g64"),
            Amounts(110_000_000_000, 2.9, "2 bit g64"),
        ),
        ("lm_head", Amounts(1_250_000_000, 8.5, "8 bit g64"), Amounts(1_250_000_000, 8.5, "8 bit g64")),
        ("vision", None, Amounts(900_000_000, 16.0, "bfloat16")),
    ),
    rows=(
        Row("perplexity", "", (3.702, 3.777), (0.0204, 0.0203), 0.0752, 0.0061, "paired", "worse"),
        Row("KL mean", "nats", (0.0312, 0.0305), (0.0011, 0.0012), -0.0007, 0.0016, "independent", "within error"),
        Row("KL p99", "nats", (0.31274, 0.30171), (None, None), -0.01103, None, "unknown"),
        Row("top-1 agreement", "share", (0.9412, 0.9512), (0.0026, 0.0025), 0.01, 0.0036, "independent", "better"),
        Row("weight error of lm_head", "share", (0.0041, 0.0041), (0.0, 0.0), 0.0, 0.0, "exact", "same"),
        Row("weight error of vision", "share", (None, 0.01), (None, 0.0)),
        Row("generation", "problems", (2.0, 0.0), (0.0, 0.0), -2.0, 0.0, "exact", "better"),
        Row(
            "generation of 500 tokens",
            "tokens/s",
            (19.5, 21.25),
            (0.2, 0.1),
            1.75,
            0.22,
            "independent",
            "better",
        ),
        Row(
            "generation of 500 tokens, peak memory",
            "bytes",
            (3.8e11, 3.5e11),
            (None, None),
            -3e10,
            None,
            "unknown",
        ),
    ),
    apart=(
        Apart("serving", "measured of v2.5 only", ((), ())),
        Apart(
            "perplexity",
            "harness llama.cpp against pipeline",
            ((Figure(PERPLEXITY, "perplexity", 3.7, 0.02),), (Figure(PERPLEXITY, "perplexity", 3.9, None),)),
        ),
    ),
)


@pytest.mark.parametrize("width", [80, 120])
def test_every_figure_says_what_the_difference_means_and_how_that_is_known(width, page, check_golden):
    console = page(width)
    show_comparison(COMPARISON, console)
    check_golden(f"comparison-{width}", console.file.getvalue())


def test_a_release_of_which_nothing_was_measured_has_its_sizes(page):
    console = page()
    show_comparison(replace(COMPARISON, rows=(), apart=()), console)
    assert "measured" not in console.file.getvalue()
    assert "2.73, 350 GB" in console.file.getvalue()


def test_words_of_others_steer_no_terminal(page):
    hostile = "\x1b[2J\u202e"
    figure = Figure(PERPLEXITY, hostile, 1.0, None)
    console = page()
    show_comparison(
        Comparison(
            (hostile, hostile),
            COMPARISON.total,
            ((hostile, None, None),),
            (Row(hostile, hostile, (1.0, 2.0), (None, None), 1.0, None, "unknown", "worse"),),
            (Apart(hostile, hostile, ((figure,), (figure,))),),
        ),
        console,
    )
    assert not re.search(r"[\x1b\u202e]", console.file.getvalue())
