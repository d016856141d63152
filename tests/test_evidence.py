from __future__ import annotations

from pipeline.evidence import Evidence, Measurement


def test_evidence_survives_json_and_finds_a_measurement_by_what_and_whose():
    base = Measurement("perplexity", "base", "0" * 64, {"perplexity": 12.5}, {"window": 512}, {"mlx": "1"}, {}, "now")
    ours = Measurement("perplexity", "quantized", "1" * 64, {"perplexity": 12.6}, {"window": 512}, {}, {}, "now")
    evidence = Evidence((base, ours))
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert evidence.find("perplexity", "quantized") == ours
    assert evidence.find("generation", "base") is None
