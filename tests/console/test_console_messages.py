"""Results and errors as golden text, each on its stream, and words of others kept harmless."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console import (
    Progress,
    Summary,
    show_error,
    show_json,
    show_note,
    show_plan,
    show_summary,
    show_text,
    show_verdicts,
)
from pipeline.console.terminal import harmless, one_line
from pipeline.engine.plan import plan
from pipeline.engine.task import Lane
from pipeline.engine.workspace import Workspace
from pipeline.errors import HubError, PipelineError, ReleaseFileError
from pipeline.release.judge import Verdict

WIDTHS = (60, 80, 120)
HOSTILE = "[bold red]owned[/] \x1b]0;title\x07\x1b[2J\u202etxt.exe [link=http://x]y[/link] :smile:"


VERDICTS = (
    Verdict(
        "perplexity increase", "at most 10 % over the base", "+5.5 % (13.210 against 12.520)", True, "5.5 % is within"
    ),
    Verdict(
        "generation", "every answer is readable, ends and does not loop", "1 problem", False, "prompt 2 never stopped"
    ),
)
SUMMARY = Summary(
    headline="demo is published",
    repository="http://127.0.0.1:8080/demo/SmolLM2-135M-Instruct-MLX-mixed",
    tag="v1",
    commit="1f0c" * 10,
    card="releases/demo/README.md",
    size=98_400_000,
    base_size=271_000_000,
    bits_per_weight=5.84,
    perplexity=(13.21, 0.41),
    base_perplexity=(12.52, 0.38),
    prompt="What is the capital of France?",
    sample="The capital of France is Paris.\n\nIt lies on the Seine. " + "It is known for its museums. " * 20,
    verdicts=VERDICTS,
)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summary_says_where_everything_is(width, page, check_golden):
    console = page(width)
    show_summary(SUMMARY, console)
    check_golden(f"summary-{width}", console.file.getvalue())


def test_a_summary_leaves_out_what_is_not_known(page):
    console = page()
    show_summary(Summary("demo is quantized", size=98_400_000, perplexity=(13.21, 0.41)), console)
    assert console.file.getvalue() == "demo is quantized\n\n  size        98.4 MB\n  perplexity  13.21 ± 0.41\n"


def test_verdicts_show_asked_and_measured_and_why_where_missed(page, check_golden):
    console = page()
    show_verdicts(VERDICTS, console)
    check_golden("verdicts", console.file.getvalue())


WAIVED = Verdict(
    "KL p99",
    "at most 0.4 nats",
    "0.42 nats",
    False,
    "0.42 nats is more than 0.4 nats",
    "Rare names only, see issue 12.",
)


@pytest.mark.parametrize("width", [80, 120])
def test_a_waived_threshold_is_shown_as_waived_with_the_reason_and_never_as_passed(width, page, check_golden):
    console = page(width)
    show_verdicts((*VERDICTS, WAIVED), console)
    check_golden(f"verdicts-waived-{width}", console.file.getvalue())


def test_the_summary_says_how_far_it_is_from_the_base_where_that_was_measured(page, check_golden):
    console = page()
    measured = {"divergence": (0.03121, 0.00113), "top1": (0.9412, 0.0026)}
    show_summary(replace(SUMMARY, sample="Paris.", verdicts=(), **measured), console)
    check_golden("summary-divergence", console.file.getvalue())


def test_a_divergence_without_known_errors_has_no_more_digits_than_it_carries(page):
    console = page()
    show_summary(Summary("demo", divergence=(0.031214, None), top1=(0.94123, None)), console)
    assert console.file.getvalue() == "demo\n\n  KL from base  0.0312 nats\n  top-1         94.1 % as the base\n"


# What went wrong

PROBLEMS = (
    "releases/demo/release.yaml:3:1: licence: unknown key; did you mean license?\n    licence: apache-2.0\n    ^^^^^^^",
    "releases/demo/release.yaml:9:13: base.revision: "
    + "not a commit, " * 9
    + "really"
    + "\n      revision: main [bold]\n                ^^^^",
)
ERRORS = {
    "hub": HubError(
        "the Hub answered 503 for five minutes while model-00002-of-00004.safetensors was uploaded to "
        "demo/SmolLM2-135M-Instruct-MLX-mixed",
        hint="Run the same command again: it goes on from here, and what is uploaded already is not sent again.",
    ),
    "no-hint": PipelineError("the release nothing is not there"),
    "release-file": ReleaseFileError(PROBLEMS, hint="docs/release-files.md lists every key."),
    "hostile": PipelineError(HOSTILE, hint=HOSTILE),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_what_happened_and_what_to_do(name, page, check_golden):
    console = page(60)
    show_error(ERRORS[name], console)
    check_golden(f"error-{name}", console.file.getvalue())


def test_problems_of_a_release_file_are_printed_to_the_letter(page):
    console = page(60)
    show_error(ERRORS["release-file"], console)
    assert console.file.getvalue().startswith("\n".join(PROBLEMS) + "\n")


def test_an_error_in_a_pipe_is_one_line(pipe):
    console = pipe()
    show_error(ERRORS["hub"], console)
    assert [line[:6] for line in console.file.getvalue().splitlines()] == ["error:", "hint: "]


# Words of others


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\udc80"])
def test_characters_that_steer_a_terminal_become_visible(character):
    assert harmless(f"a{character}b") == f"a{character.encode('unicode_escape').decode()}b"


def test_ordinary_text_of_any_language_stays():
    text = "naïve Ελληνικά 中文 می\N{ZERO WIDTH NON-JOINER}خواهم 👩\N{ZERO WIDTH JOINER}🔬\n\tindented"
    assert harmless(text) == text


@given(text=st.text())
def test_nothing_that_is_shown_can_steer_a_terminal(text, pipe):
    console = pipe()
    show_error(PipelineError(text, hint=text), console)
    show_note(text, console)
    show_summary(
        Summary(text, repository=text, sample=text, verdicts=(Verdict(text, text, text, False, text, text),)), console
    )
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", console.file.getvalue())


def test_a_long_sample_is_cut_between_words():
    assert one_line("one two\r\nthree  four", 12) == "one two …"
    assert one_line("x" * 20, 12) == "x" * 12 + " …"


# Which stream


def test_results_go_to_standard_output_and_everything_else_to_standard_error(capsys, tmp_path, release, only):
    show_json({"plan": ["ü", "\x9b"]})
    show_text("card")
    show_plan(plan(release(), Workspace(tmp_path)))
    show_summary(SUMMARY)
    results = capsys.readouterr()
    assert results.out.startswith('{\n  "plan": [\n    "\\u00fc",\n    "\\u009b"\n  ]\n}\ncard\n')
    assert not results.err
    show_error(ERRORS["hub"])
    show_note("the local Hub keeps its files in .pipeline/hub")
    with Progress() as progress:
        decisions = only(Lane("render", ""), 0)
        progress.planned(decisions)
        progress.noted(decisions["render/1"].task, "a line")
    said = capsys.readouterr()
    assert not said.out
    assert "render/1: a line" in said.err


def test_text_is_left_to_the_letter_in_a_pipe_and_made_harmless_on_a_terminal(pipe, terminal):
    piped, shown = pipe(), terminal()
    show_text("card \x1b[31m\n", piped)
    show_text("card \x1b[31m\n", shown)
    assert (piped.file.getvalue(), shown.file.getvalue()) == ("card \x1b[31m\n", "card \\x1b[31m\n")


def test_an_encoding_that_lacks_a_character_does_not_end_the_program():
    program = "from pipeline.console import *; show_summary(Summary('Größe', perplexity=(1.5, 0.1)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout == "Gr\\xf6\\xdfe\n\n  perplexity  1.50 \\xb1 0.10\n"


def test_the_console_loads_neither_the_models_nor_the_hub():
    program = (
        "import sys, pipeline.console; print(*{'mlx', 'mlx_lm', 'huggingface_hub', 'pydantic'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "\n"
