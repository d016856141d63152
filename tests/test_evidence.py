from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.errors import PipelineError
from pipeline.evidence import Evidence, Measurement

BASE = Measurement("perplexity", "base", "0" * 64, {"perplexity": 12.5}, {"window": 512}, {"mlx": "1"}, {}, "now")
GGUF = Measurement(
    "speed",
    "model.gguf",
    "",
    {"prompt": [], "generation": []},
    {"harness": "llama-bench", "command": "-p 1"},
    {},
    {},
    "now",
)


def test_evidence_survives_json_and_finds_a_measurement_by_what_and_whose():
    ours = Measurement("perplexity", "quantized", "1" * 64, {"perplexity": 12.6}, {"window": 512}, {}, {}, "now")
    evidence = Evidence((BASE, ours, GGUF))
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert evidence.find("perplexity", "quantized") == ours
    assert evidence.find("generation", "base") is None
    assert evidence.find("speed", "model.gguf") == GGUF


def test_two_harnesses_never_have_the_same_settings():
    assert (BASE.harness, GGUF.harness) == ("pipeline", "llama-bench")
    assert replace(BASE, settings={**BASE.settings, "harness": "mlx_lm.perplexity"}).settings != BASE.settings


def test_what_was_measured_again_in_the_same_way_takes_the_place_of_what_was_there():
    evidence = Evidence((GGUF, BASE))
    assert evidence.merged([GGUF]) == evidence
    again = replace(GGUF, values={"prompt": [1], "generation": []}, settings={**GGUF.settings, "command": "-p 1 -r 5"})
    assert evidence.merged([again]).measurements == (again, BASE)
    for other in (
        replace(GGUF, settings={**GGUF.settings, "n_ubatch": 2048}),
        replace(GGUF, subject="other.gguf"),
        replace(GGUF, measure="perplexity"),
    ):
        assert evidence.merged([other]).measurements == (GGUF, BASE, other)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not JSON: Expecting value in line 1"),
        ('{"measurements": [\n<<<<<<< HEAD\n]}', "it is not JSON: Expecting value in line 2"),
        ("[]", "it is no JSON object"),
        ("{}", "it has no `measurements`"),
        ('{"measurements": {}}', "`measurements` is no list"),
        ('{"measurements": [5]}', "number 1 of `measurements` is no JSON object"),
        (
            '{"measurements": [{"measure": "speed", "subject": "base", "weights": "", "values": {}, "tools": {}}]}',
            "number 1 of `measurements` has no `settings`, `machine`, `measured_at`",
        ),
        (
            Evidence((BASE,)).to_json().replace('"measure"', '"beauty": 1, "measure"'),
            "number 1 of `measurements` has `beauty`, which this pipeline does not know",
        ),
    ],
)
def test_what_is_no_evidence_is_refused_by_name_with_the_reason_in_words(text, why):
    with pytest.raises(PipelineError) as raised:
        Evidence.from_json(text, "releases/demo/imported.json")
    assert str(raised.value) == f"releases/demo/imported.json does not hold evidence: {why}"


def test_a_file_from_before_other_models_could_be_measured_is_read():
    row = {
        key: value
        for key, value in json.loads(Evidence((BASE,)).to_json())["measurements"][0].items()
        if key != "source"
    }
    assert Evidence.from_json(json.dumps({"measurements": [row]})).measurements == (BASE,)


def with_row(measure, values, **changes):
    row = {
        **json.loads(Evidence((BASE,)).to_json())["measurements"][0],
        "measure": measure,
        "values": values,
        **changes,
    }
    return json.dumps({"measurements": [row]})


RATE = {"tokens": 5, "tokens_per_second": 1.5}
ANSWER = {"prompt": "Why?", "text": "So.", "tokens": 1, "stopped": True, "problems": []}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (with_row("perplexity", {}), "`values.perplexity` is missing"),
        (with_row("perplexity", {"perplexity": None}), "`values.perplexity` should be a valid number"),
        (with_row("perplexity", {"perplexity": "12"}), "`values.perplexity` should be a valid number"),
        (with_row("perplexity", {"perplexity": True}), "`values.perplexity` should be a valid number"),
        (with_row("perplexity", {"perplexity": 0}), "`values.perplexity` should be greater than 0"),
        (with_row("perplexity", {"perplexity": 10**400}), "1" + "0" * 39 + "... is no finite number"),
        (with_row("perplexity", {"perplexity": 2}).replace("2}", "2" * 5000 + "}"), "... is no finite number"),
        (with_row("perplexity", {"perplexity": float("nan")}), "NaN is no finite number"),
        (with_row("weight_error", {"all": float("-inf")}), "-Infinity is no finite number"),
        (with_row("weight_error", {"all": 7}).replace("7}", "1e999}"), " 1e999 is no finite number"),
        (with_row("perplexity", {"perplexity": 2, "standard_error": "x"}), "`values.standard_error` should be"),
        (with_row("perplexity", {"perplexity": 2, "standard_error": -1}), "`values.standard_error` should be"),
        (with_row("perplexity", {"perplexity": 2}, settings={"window": "x"}), "`settings.window` should be"),
        (with_row("generation", {"passed": True}), "`values.transcripts` is missing"),
        (
            with_row("generation", {"passed": True, "transcripts": [ANSWER, {**ANSWER, "text": 5}]}),
            "`values.transcripts.1.text` should be a valid string",
        ),
        (
            with_row("generation", {"passed": True, "transcripts": [ANSWER]}, settings={"sampling": {"top_p": 1}}),
            "`settings.sampling.temperature` is missing",
        ),
        (with_row("speed", {"generation": [RATE]}), "`values.prompt` is missing"),
        (
            with_row("speed", {"prompt": [{**RATE, "deviation": "1"}], "generation": []}),
            "`values.prompt.0.deviation` should be",
        ),
        (with_row("serving", {"passed": True, "problems": []}), "`values.command` is missing"),
        (with_row("divergence", {"loss_difference": 1e6}), "`values.loss_difference` should be less than"),
        (with_row("speed", {}, measured_at=None), "`measured_at` of number 1 of `measurements` is no text"),
        (with_row("speed", {}, machine="M3"), "`machine` of number 1 of `measurements` is no JSON object"),
        (with_row("speed", []), "`values` of number 1 of `measurements` is no JSON object"),
        (with_row("speed", {}, settings=5), "`settings` of number 1 of `measurements` is no JSON object"),
        (with_row("speed", {}, tools={"mlx": 1}), "`tools` of number 1 of `measurements` is no JSON object of texts"),
        (with_row("speed", {}, source="guessed"), "`source` of number 1 of `measurements` is none of measured, rep"),
        ("[" * 100_000, "it is nested too deeply"),
        (with_row("speed", {}, machine={"a": 0}).replace("0}", "[" * 200 + "]" * 200 + "}"), "nested too deeply"),
        (b"{\xff}", "codec can't decode byte 0xff"),
    ],
)
def test_one_broken_figure_is_one_error_that_names_the_file_and_the_figure(text, why):
    with pytest.raises(PipelineError) as raised:
        Evidence.from_json(text, "releases/demo/evidence.json")
    assert str(raised.value).startswith("releases/demo/evidence.json does not hold evidence: ")
    assert why in str(raised.value)


def test_a_measure_that_nobody_knows_and_values_that_nobody_reads_are_kept():
    for text in (with_row("beauty", {"of": [1]}), with_row("perplexity", {"perplexity": 2, "colour": "red"})):
        assert Evidence.from_json(text).measurements
