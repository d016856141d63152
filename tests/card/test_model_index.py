from __future__ import annotations

import math

import pytest

from pipeline.card.front_matter import parse
from pipeline.metadata.lint import lint


def results(case):
    fields = parse(case.card())[0]
    assert lint(fields, {file.path for file in case.lock.model}) == []
    return fields["model-index"][0]["results"] if "model-index" in fields else []


def test_perplexity_comes_with_how_it_was_measured(demo):
    [result] = results(demo)
    assert parse(demo.card())[0]["model-index"][0]["name"] == "SmolLM2-135M-Instruct-MLX-mixed"
    [metric] = result["metrics"]
    assert (metric["type"], metric["value"]) == ("perplexity", 13.02)
    assert metric["args"] == {"standard_error": 0.42, "tokens": 8176}
    assert result["dataset"]["args"]["window"] == 512
    assert result["dataset"]["revision"] == demo.release.evaluate.text.revision
    assert "source" not in result


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ({"path": "texts/prose/own words.txt"}, "own-words"),
        ({"path": "texts/Größe.txt"}, "Gr-e"),
        ({"dataset": "allenai/tulu-3-sft-mixture"}, "allenai/tulu-3-sft-mixture"),
        ({"dataset": "a folder/of/mine"}, "mine"),
    ],
)
def test_a_text_that_is_no_file_of_the_hub_still_has_a_type_that_the_hub_takes(demo, text, kind):
    kept = () if "dataset" in text else ("window", "windows")
    evaluate = {
        **{key: getattr(demo.release.evaluate, key) for key in kept},
        "prompts": ("Hello?",),
        "text": text | {"license": "mit", "attribution": "Somebody"},
    }
    [result] = results(demo.with_release(evaluate=evaluate))
    assert result["dataset"]["type"] == kind
    assert result["dataset"]["name"] == next(iter(text.values()))


def test_a_reported_figure_of_the_model_is_there_to_the_last_digit_with_its_source(demo):
    reported = demo.theirs("quantized", 3.777, 0.02, values={"tokens": 65536})
    [result] = results(demo.with_evidence(reported))
    assert result["metrics"] == [
        {
            "type": "perplexity",
            "name": "Perplexity",
            "value": 3.777,
            "args": {"standard_error": 0.02, "tokens": 65536},
        }
    ]
    assert result["dataset"] == {
        "type": "samples-of-1000-tokens",
        "name": "samples of 1000 tokens",
        "args": {"build": "0.30.7", "command": "mlx_lm.perplexity --model 'quantized'", "harness": "mlx_lm.perplexity"},
    }
    assert result["source"] == {"name": "Reported", "url": "https://example.org/4"}
    both = results(demo.with_evidence(*demo.evidence.measurements, reported))
    assert [one["metrics"][0]["value"] for one in both] == [13.02, 3.777]


def test_figures_of_other_models_are_not_this_ones(demo):
    assert results(demo.with_evidence(demo.theirs("base", 3.5), demo.theirs("MLX 3 bit", 3.6))) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "3.7", 10**400])
def test_what_is_no_figure_is_left_out(demo, value):
    figure = demo.theirs("quantized", 3.777, settings={"reported": "javascript:alert(1)"}, values={"perplexity": value})
    own = demo.perplexity("quantized", math.inf, None)
    assert results(demo.with_evidence(figure, own)) == []


def test_a_source_that_is_no_address_is_none(demo):
    [result] = results(demo.with_evidence(demo.theirs("quantized", 3.7, settings={"reported": "a friend"})))
    assert "source" not in result
