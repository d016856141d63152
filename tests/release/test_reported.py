from __future__ import annotations

import re

import pytest

from pipeline.release.document import read
from pipeline.release.reported import import_figures

WHERE = "https://example.org/card"
FIGURES = f"""\
reported: {WHERE}
figures:
  - subject: Some GGUF
    harness: llama-bench
    build: '8130'
    command: llama-bench -fa 1
    machine: Mac Studio, M3 Ultra, 512 GB
    date: 2026-01-31
    prompt:
      - {{tokens: 5000, tokens_per_second: 130.90, deviation: 0.2}}
      - {{tokens: 1000, tokens_per_second: 149, peak_memory: 350 GB}}
  - subject: base
    harness: mlx_lm.perplexity
    perplexity: {{value: 3.702, standard_error: 0.02, tokens: 255744, text: allenai/tulu-3-sft-mixture}}
    generation:
      - {{tokens: 500, tokens_per_second: 26.586}}
"""


def imported(tmp_path, text, source="reported", where=""):
    (tmp_path / "figures.yaml").write_text(text)
    problems = []
    made = import_figures(read(tmp_path, "figures.yaml"), problems, source=source, where=where)
    return made, [str(problem).splitlines()[0] for problem in problems]


def test_figures_keep_who_measured_them_and_where_they_were_reported(tmp_path):
    made, problems = imported(tmp_path, FIGURES)
    assert problems == []
    assert [(one.measure, one.subject, one.harness, one.source) for one in made] == [
        ("speed", "Some GGUF", "llama-bench", "reported"),
        ("speed", "base", "mlx_lm.perplexity", "reported"),
        ("perplexity", "base", "mlx_lm.perplexity", "reported"),
    ]
    speed, _, perplexity = made
    assert speed.settings == {
        "harness": "llama-bench",
        "build": "8130",
        "command": "llama-bench -fa 1",
        "reported": WHERE,
    }
    assert speed.values == {
        "prompt": [
            {"tokens": 1000, "tokens_per_second": 149.0, "deviation": None, "peak_memory": 350_000_000_000},
            {"tokens": 5000, "tokens_per_second": 130.9, "deviation": 0.2, "peak_memory": None},
        ],
        "generation": [],
    }
    assert (speed.tools, speed.measured_at) == ({"llama-bench": "8130"}, "2026-01-31")
    assert speed.machine == {"machine": "Mac Studio, M3 Ultra, 512 GB"}
    assert perplexity.values == {"perplexity": 3.702, "standard_error": 0.02, "tokens": 255744}
    assert perplexity.settings["text"] == "allenai/tulu-3-sft-mixture"


def test_json_is_read_too(tmp_path):
    text = '{"figures": [{"subject": "x", "harness": "y", "generation": [{"tokens": 5, "tokens_per_second": 2.5}]}]}'
    made, problems = imported(tmp_path, text, source="measured")
    assert problems == []
    assert (made[0].source, made[0].settings) == ("measured", {"harness": "y"})


def test_an_address_on_the_command_line_comes_first(tmp_path):
    made, _ = imported(tmp_path, FIGURES, where="https://example.org/other")
    assert made[0].settings["reported"] == "https://example.org/other"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (f"reported: {WHERE}\n", "", "1:1: does not say where its figures were reported: `reported: ADDRESS`"),
        ("harness: llama-bench", "harnes: llama-bench", "4:5: figures[0].harnes: unknown key; did you mean `harness`?"),
        ("    harness: llama-bench\n", "", "3:5: figures[0].harness: is missing"),
        ("build: '8130'", "build: 8130", "5:12: figures[0].build: must be text: put it in quotes, '8130'"),
        ("130.90", "fast", "10:43: figures[0].prompt[0].tokens_per_second: must be a number, not 'fast'"),
        ("130.90", ".inf", "10:43: figures[0].prompt[0].tokens_per_second: must be a finite number, not inf"),
        ("tokens: 5000", "tokens: 1000", "10:7: figures[0].prompt: holds 1,000 tokens more than once"),
        (
            "harness: llama-bench",
            "harness: Pipeline",
            "4:14: figures[0].harness: `Pipeline` is this program, whose own",
        ),
        ("value: 3.702", "value: 0.99", "14:25: figures[1].perplexity.value: must be at least 1, not 0.99"),
        (
            "350 GB",
            "350",
            "11:61: figures[0].prompt[1].peak_memory: must be a size with its unit, such as `5 GB`, not 350",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, before, after, told):
    assert before in FIGURES
    _made, problems = imported(tmp_path, FIGURES.replace(before, after, 1))
    assert len(problems) == 1
    assert problems[0].startswith(f"figures.yaml:{told}")


def test_a_perplexity_may_come_without_its_error(tmp_path):
    made, problems = imported(tmp_path, FIGURES.replace(", standard_error: 0.02, tokens: 255744", ""))
    assert problems == []
    assert made[-1].values == {"perplexity": 3.702}


def test_a_model_without_a_figure_and_a_file_without_a_model_are_refused(tmp_path):
    _, problems = imported(tmp_path, f"reported: {WHERE}\nfigures:\n  - {{subject: x, harness: y}}\n")
    assert problems == ["figures.yaml:3:5: figures[0]: holds no figure: say `prompt`, `generation` or `perplexity`"]
    _, problems = imported(tmp_path, f"reported: {WHERE}\nfigures: []\n")
    assert problems == ["figures.yaml:2:10: figures: must not be empty"]


def test_the_example_on_the_page_can_be_imported(tmp_path, shipped):
    (example,) = re.findall(r"```yml\n(.*?)```", (shipped / "docs/release-files.md").read_text("utf-8"), re.DOTALL)
    made, problems = imported(tmp_path, example)
    assert problems == []
    assert [one.subject for one in made] == ["quantized"]


def test_figures_of_one_model_taken_alike_stand_once(tmp_path):
    again = """\
  - subject: Some GGUF
    harness: llama-bench
    build: '8130'
    machine: Another Mac
    generation: [{tokens: 500, tokens_per_second: 9}]
"""
    _, problems = imported(tmp_path, FIGURES + again)
    assert problems == [
        "figures.yaml:17:5: figures[2]: holds the speed of Some GGUF by llama-bench, as line 3 does: keep one"
    ]
    made, problems = imported(tmp_path, FIGURES + again.replace("8130", "8131"))
    assert (len(made), problems) == (4, [])
