"""`pipeline evidence import` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.evidence import Evidence

SAMPLE = Path(__file__).parents[1] / "golden" / "release" / "llama-bench.json"
GGUF = "SmolLM2-135M-Instruct-Q4_K_M.gguf"
FIGURES = """\
reported: https://example.org/card
figures:
  - {subject: Another model, harness: mlx_lm.benchmark, prompt: [{tokens: 1000, tokens_per_second: 224.094}]}
"""


@pytest.fixture
def here(repository, monkeypatch):
    monkeypatch.chdir(repository.root)
    (repository.root / "bench.json").write_bytes(SAMPLE.read_bytes())
    (repository.root / "figures.yaml").write_text(FIGURES)
    return repository.root


@pytest.fixture
def imported(here):
    return here / "releases" / "demo" / "imported.json"


def test_it_teaches_by_example(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["evidence", "import", "--help"])
    assert ended.value.code == 0
    assert "pipeline evidence import demo bench.json" in capsys.readouterr().out.partition("examples:")[2]


def test_figures_of_both_kinds_are_kept_beside_the_release(here, imported, capsys):
    assert main(["evidence", "import", "demo", "bench.json"]) == 0
    assert f"holds figures of {GGUF}; `pipeline card demo` puts them" in capsys.readouterr().err
    assert main(["evidence", "import", "demo", "figures.yaml"]) == 0
    evidence = Evidence.from_json(imported.read_text())
    assert [(one.subject, one.source) for one in evidence.measurements] == [
        (GGUF, "measured"),
        ("Another model", "reported"),
    ]


def test_importing_the_same_again_changes_nothing(here, imported, capsys):
    for file in ("bench.json", "figures.yaml"):
        assert main(["evidence", "import", "demo", file]) == 0
    before = imported.read_bytes(), imported.stat().st_mtime_ns
    for file in ("figures.yaml", "bench.json"):
        capsys.readouterr()
        assert main(["evidence", "import", "demo", file]) == 0
        assert "is unchanged" in capsys.readouterr().err
    assert (imported.read_bytes(), imported.stat().st_mtime_ns) == before


def test_the_name_the_command_line_and_where_it_was_reported_can_be_given(here, imported):
    given = ["--subject", "Q4 of someone", "--command", "llama-bench -m x.gguf"]
    reported = ["--source", "reported", "--from", "https://example.org"]
    assert main(["evidence", "import", "demo", "bench.json", *given, *reported]) == 0
    (one,) = Evidence.from_json(imported.read_text()).measurements
    assert (one.subject, one.source) == ("Q4 of someone", "reported")
    assert one.settings["command"] == "llama-bench -m x.gguf"
    assert one.settings["reported"] == "https://example.org"


def test_tests_of_both_speeds_at_once_are_left_out_and_mentioned(here, imported, capsys):
    rows = json.loads(SAMPLE.read_text())
    (here / "bench.json").write_text(json.dumps([*rows, {**rows[0], "n_gen": 128}]))
    assert main(["evidence", "import", "demo", "bench.json"]) == 0
    assert "left out: 1 test that reads and generates in one (-pg)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dmeo", "bench.json"), "did you mean `demo`"),
        (("demo", "absent.json"), "absent.json: cannot be read: No such file"),
        (("demo", "broken.json"), "broken.json:9:"),
        (("demo", "bench.json", "--source", "reported"), "--source reported needs --from"),
        (("demo", "bench.json", "--subject", "quantized"), "a GGUF is another one"),
        (("demo", "bench.json", "--from", "https://example.org"), "--from says where figures were reported"),
        (("demo", "figures.yaml", "--command", "x"), "--subject and --command are for llama-bench"),
        (
            ("demo", "figures.yaml", "--source", "measured"),
            "figures.yaml:1:1: reported: says where the figures were reported, and `--source measured`",
        ),
        (("demo", "empty.yaml"), "empty.yaml:1:1: is empty"),
        (("demo", "bench.jsonl"), "bench.jsonl is what `llama-bench -o jsonl` printed, and only its JSON is read"),
        (("demo", "bench.jsonl"), "hint: Run llama-bench with `-o json`."),
        (("demo", "wrong.json"), "wrong.json:1:13: [0].avg_ts: must be a number"),
    ],
)
def test_mistakes_end_with_2_and_leave_everything_as_it_was(arguments, words, here, imported, capsys):
    (here / "broken.json").write_text("\n".join(SAMPLE.read_text().splitlines()[:9]))
    (here / "empty.yaml").write_text("")
    (here / "bench.jsonl").write_text(json.dumps(json.loads(SAMPLE.read_text())[0]) + "\n")
    (here / "wrong.json").write_text('[{"avg_ts": "fast"}]')
    assert main(["evidence", "import", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not imported.exists()


def test_a_spoilt_file_of_imports_is_not_written_over(here, imported, capsys):
    imported.write_text('{"measurements": [{}]}')
    assert main(["evidence", "import", "demo", "bench.json"]) == 2
    assert "releases/demo/imported.json does not hold evidence" in capsys.readouterr().err
    assert imported.read_text() == '{"measurements": [{}]}'


def test_what_is_imported_for_shipped_releases_is_what_their_files_say(here, capsys):
    shipped = Path(__file__).parents[2] / "releases"
    for written in shipped.glob("*/published.yaml"):
        name = written.parent.name
        kept = here / "releases" / name / "imported.json"
        assert main(["evidence", "import", name, str(written)]) == 0
        assert kept.read_text() == (written.parent / "imported.json").read_text()
