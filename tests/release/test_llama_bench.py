"""llama-bench's JSON: a sample in the form of llama.cpp's own printer, with figures that nobody measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.release.document import read
from pipeline.release.llama_bench import import_rows, printed_as

SAMPLE = Path(__file__).parents[1] / "golden" / "release" / "llama-bench.json"
ROWS = json.loads(SAMPLE.read_text())


def imported(tmp_path, content, **options):
    """The measurements, how many rows were of no use, and the first line of each problem."""
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    (tmp_path / "bench.json").write_text(text)
    document = read(tmp_path, "bench.json")
    problems = list(document.problems)
    asked = {"source": "measured", "where": "", "subject": "", "command": "", **options}
    made, useless = import_rows(document, problems, **asked)
    return made, useless, [str(problem).splitlines()[0] for problem in problems]


def test_rows_of_one_run_become_one_measurement(tmp_path):
    (made,), useless, problems = imported(tmp_path, SAMPLE.read_text())
    assert (useless, problems) == (0, [])
    assert (made.measure, made.subject, made.source) == ("speed", "SmolLM2-135M-Instruct-Q4_K_M.gguf", "measured")
    assert (made.harness, made.weights, made.measured_at) == ("llama-bench", "", "2026-09-14T09:21:18Z")
    assert [row["tokens"] for row in made.values["prompt"]] == [1000, 5000]
    assert made.values["generation"][0] == {
        "tokens": 500,
        "tokens_per_second": 389.564326,
        "deviation": 1.042169,
        "peak_memory": None,
    }
    assert made.tools == {"llama.cpp": "7822 (8f91ca54e)"}
    assert made.machine == {"chip": "Apple M3 Ultra"}
    assert made.settings["model"] == {
        "file": "SmolLM2-135M-Instruct-Q4_K_M.gguf",
        "type": "llama ?B Q4_K - Medium",
        "bytes": 104208384,
        "parameters": 134515008,
    }
    assert {"backend": "MTL,BLAS", "n_ubatch": 512, "flash_attn": True, "n_depth": 0, "trials": 5}.items() <= (
        made.settings.items()
    )
    assert not {"avg_ns", "samples_ns", "stddev_ns", "avg_ts", "test_time", "n_prompt"} & set(made.settings)


def test_nobodys_folders_are_taken_over(tmp_path):
    (made,), _, _ = imported(tmp_path, SAMPLE.read_text())
    assert "someone" not in json.dumps([made.settings, made.machine])
    rows = [{**row, "model_filename": r"C:\Users\someone\model.gguf"} for row in ROWS]
    assert imported(tmp_path, rows)[0][0].subject == "model.gguf"


def test_the_command_line_is_put_together_unless_it_is_given(tmp_path):
    (made,), _, _ = imported(tmp_path, SAMPLE.read_text())
    assert made.settings["command"] == (
        "llama-bench -m SmolLM2-135M-Instruct-Q4_K_M.gguf -p 1000,5000 -n 500,1000 -b 2048 -ub 512 -t 20 -ngl -1 -fa 1 "
        "-ctk f16 -ctv f16 -r 5 -o json"
    )
    (given,), _, _ = imported(tmp_path, SAMPLE.read_text(), command="llama-bench -m x", subject="Q4_K_M by someone")
    assert (given.settings["command"], given.subject) == ("llama-bench -m x", "Q4_K_M by someone")


def test_other_options_are_another_measurement(tmp_path):
    deeper = [{**row, "n_depth": 4096} for row in ROWS]
    made, _, problems = imported(tmp_path, [*ROWS, *deeper])
    assert problems == []
    assert [one.settings["n_depth"] for one in made] == [0, 4096]
    assert "-d 4096" in made[1].settings["command"]


def test_a_warm_up_that_newer_builds_report_divides_no_run(tmp_path):
    made, _, _ = imported(tmp_path, [{**row, "n_gen_warmup": int(row["n_gen"] > 0)} for row in ROWS])
    assert len(made) == 1


def test_the_fields_of_an_older_build_are_enough(tmp_path):
    needed = ("build_commit", "build_number", "model_filename", "n_prompt", "n_gen", "test_time", "avg_ts", "stddev_ts")
    (made,), _, problems = imported(tmp_path, [{key: row[key] for key in needed} for row in ROWS])
    assert problems == []
    assert "trials" not in made.settings
    assert made.machine == {}


def test_tests_of_both_at_once_are_counted_and_left_out(tmp_path):
    both = {**ROWS[0], "n_gen": 128}
    made, useless, problems = imported(tmp_path, [*ROWS, both])
    assert (useless, problems) == (1, [])
    assert [row["tokens"] for row in made[0].values["prompt"]] == [1000, 5000]
    assert imported(tmp_path, [both])[2] == [
        "bench.json:2:3: [0]: reads and generates in one, which tells the speed of neither"
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"avg_ts": "fast"}, "avg_ts: must be a number, not 'fast'"),
        ({"avg_ts": 0.0}, "avg_ts: must be more than 0, not 0.0"),
        ({"avg_ts": None}, "avg_ts: is empty; write a value, or remove the key"),
        ({"n_prompt": -1}, "n_prompt: must be at least 0, not -1"),
        ({"n_gen": 1.5}, "n_gen: must be a whole number, not 1.5"),
        ({"build_commit": 12345678}, "build_commit: must be text: put it in quotes, '12345678'"),
        ({"n_prompt": 0}, "n_gen: is a test of nothing: `n_prompt` is 0 too"),
        ({"model_filename": ""}, "model_filename: must not be empty"),
    ],
)
def test_a_wrong_row_is_told_with_its_place(tmp_path, change, told):
    text = json.dumps([ROWS[1], {**ROWS[0], **change}], indent=2)
    _, _, problems = imported(tmp_path, text)
    key = told.partition(":")[0]
    line = max(n for n, line in enumerate(text.splitlines(), 1) if f'"{key}"' in line)
    assert len(problems) == 1
    assert problems[0].startswith(f"bench.json:{line}:")
    assert problems[0].endswith(f"[1].{told}")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "bench.json:1:1: holds no test of llama-bench"),
        ("[\n  5\n]", "bench.json:2:3: [0]: must be keys with values, not 5"),
        ([{key: value for key, value in ROWS[0].items() if key != "avg_ts"}], "bench.json:2:3: [0].avg_ts: is missing"),
        ([ROWS[0], ROWS[0]], "bench.json:57:3: [1]: is the same test as one above it"),
        (SAMPLE.read_text()[:2000], "bench.json:73:23: a comma or the closing `}` is missing here"),
    ],
    ids=["empty", "no row", "missing", "twice", "cut off"],
)
def test_a_file_that_is_no_run_is_refused(tmp_path, content, told):
    _made, _, problems = imported(tmp_path, content)
    assert len(problems) == 1
    assert problems[0].startswith(told)


MARKDOWN = """\
ggml_metal_device_init: GPU name:   Apple M3 Ultra
| model                          |       size |     params | backend    |            test |                  t/s |
| ------------------------------ | ---------: | ---------: | ---------- | --------------: | -------------------: |
| llama ?B Q4_K - Medium         |  99.38 MiB |   134.52 M | MTL,BLAS   |          pp1000 |     12452.44 ± 84.52 |

build: 8f91ca54e (7822)
"""


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (MARKDOWN, "md"),
        ("".join(json.dumps(row) + "\n" for row in ROWS), "jsonl"),
        (json.dumps(ROWS[0]) + "\n", "jsonl"),
        (",".join(ROWS[0]) + "\n" + ",".join(f'"{value}"' for value in ROWS[0].values()), "csv"),
        ("CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n", "sql"),
        (SAMPLE.read_text(), ""),
        (json.dumps(ROWS), ""),
        ("figures:\n  - {subject: '| model | t/s |', harness: llama-bench}\n", ""),
    ],
)
def test_its_other_outputs_are_known_by_how_they_begin(text, output):
    assert printed_as(text) == output
