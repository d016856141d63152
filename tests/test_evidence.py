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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measurements": [5]}', '{"measurements": [{"measure": "speed"}]}'])
def test_what_is_no_evidence_is_refused_by_name(text):
    with pytest.raises(PipelineError, match=r"releases/demo/imported\.json does not hold evidence"):
        Evidence.from_json(text, "releases/demo/imported.json")


def test_a_file_from_before_other_models_could_be_measured_is_read():
    row = {
        key: value
        for key, value in json.loads(Evidence((BASE,)).to_json())["measurements"][0].items()
        if key != "source"
    }
    assert Evidence.from_json(json.dumps({"measurements": [row]})).measurements == (BASE,)
