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
