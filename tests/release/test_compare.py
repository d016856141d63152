"""Two releases side by side: what is judged, how, and what is only shown."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.evidence import Evidence, Measurement
from pipeline.lock import Lock, LockedBase, LockedRecipe, LockedTarget, TensorClass
from pipeline.manifest import Manifest
from pipeline.release.compare import Side, compare
from pipeline.release.losses import Losses

HOW = {"text": "d" * 64, "window": 512, "windows": 2, "token_ids": "t" * 64, "dtype": "float32"}


def measured(measure, values, settings=HOW, **changes):
    row = Measurement(measure, "quantized", "a" * 64, values, settings, {}, {}, "2026-01-01T00:00:00Z")
    return replace(row, **changes)


def perplexity(value, error=0.5, **settings):
    values = {"perplexity": value, "standard_error": error, "tokens": 1022}
    return measured("perplexity", values, {**HOW, **settings})


def divergence(mean, p99, top1):
    values = {"kl_mean": mean, "kl_mean_error": 0.001, "kl_p99": p99, "top1": top1, "top1_error": 0.002}
    return measured("divergence", values)


def side(name, *measurements, classes=(), losses=None):
    size, parameters = sum(row.bytes for row in classes) or 1, sum(row.parameters for row in classes) or 8
    lock = Lock(
        LockedBase("someone/model", "c" * 40, "d" * 64),
        LockedRecipe("mixed", 1, "e" * 64, "error"),
        Manifest(()),
        parameters,
        size,
        8 * size / parameters,
        tuple(classes),
        (),
        {},
        LockedTarget("someone/model-mlx", "v1"),
    )
    return Side(name, lock, Evidence(measurements), losses)


def rows(one, other):
    return {row.figure: row for row in compare(one, other).rows}


def test_figures_are_judged_by_their_direction_and_their_errors():
    found = rows(
        side("v1", divergence(0.030, 0.5, 0.94), perplexity(12.0)),
        side("v2", divergence(0.040, 0.4, 0.96), perplexity(12.5)),
    )
    assert {name: (row.word, row.how) for name, row in found.items()} == {
        "perplexity": ("within error", "independent"),
        "KL mean": ("worse", "independent"),
        "KL p99": (None, "unknown"),
        "top-1 agreement": ("better", "independent"),
    }
    assert (found["KL p99"].values, found["KL p99"].difference) == ((0.5, 0.4), pytest.approx(-0.1))
    mean = found["KL mean"]
    assert (mean.values, mean.errors) == ((0.030, 0.040), (0.001, 0.001))
    assert (mean.difference, mean.error) == (pytest.approx(0.01), pytest.approx(0.001 * math.sqrt(2)))


def test_perplexity_is_paired_where_both_workspaces_hold_the_losses_of_the_same_tokens():
    before = np.array([[2.0, 3.0], [2.5, 2.5]], np.float32)
    kept = Losses("t" * 64, before), Losses("t" * 64, before + np.array([[0.10], [0.12]], np.float32))
    figures = [perplexity(math.exp(float(losses.nats.mean(dtype=np.float64))), error=2.0) for losses in kept]
    one, other = (side(name, figure, losses=losses) for name, figure, losses in zip("ab", figures, kept, strict=True))
    paired = rows(one, other)["perplexity"]
    assert (paired.how, paired.word) == ("paired", "worse")
    assert paired.difference == pytest.approx(
        figures[1].values["perplexity"] - figures[0].values["perplexity"], rel=1e-4
    )
    alone = rows(one, replace(other, losses=None))["perplexity"]
    assert (alone.how, alone.word) == ("independent", "within error")
    assert alone.difference == pytest.approx(paired.difference, rel=1e-4)


def test_figures_of_two_texts_are_both_shown_with_the_reason_and_without_a_verdict():
    found = compare(side("v1", perplexity(12.0)), side("v2", perplexity(8.0, text="e" * 64)))
    assert found.rows == ()
    (apart,) = found.apart
    assert (apart.measure, apart.why) == ("perplexity", "text eeeeeeeeeeee... against dddddddddddd...")
    assert [[figure.value for figure in side] for side in apart.figures] == [[12.0], [8.0]]


def test_each_of_several_measurements_meets_the_one_that_was_taken_alike():
    """A speed by llama-bench stands beside ours in both; like meets like, and what is left over is not judged."""

    def speed(rate, harness):
        values = {"generation": [{"tokens": 500, "tokens_per_second": rate, "deviation": 0.1}]}
        return measured(
            "speed", values, {"harness": harness}, source="reported" if harness == "llama-bench" else "measured"
        )

    one = side("v1", speed(40.0, "llama-bench"), speed(50.0, "mlx_lm"))
    other = side("v2", speed(55.0, "mlx_lm"), speed(39.0, "llama-bench"), speed(1.0, "stopwatch"))
    found = compare(one, other)
    assert [(row.values, row.word) for row in found.rows] == [((40.0, 39.0), "worse"), ((50.0, 55.0), "better")]
    (apart,) = found.apart
    assert apart.why == "measured of v2 only"
    assert [figure.value for figure in apart.figures[1]] == [1.0]


def test_two_harnesses_never_meet_in_a_row():
    other = replace(perplexity(8.0), settings={**HOW, "harness": "llama.cpp"}, source="reported")
    found = compare(side("v1", perplexity(12.0)), side("v2", other))
    assert found.rows == ()
    assert found.apart[0].why == "harness llama.cpp against pipeline"


def test_what_only_one_of_them_measured_is_said():
    (apart,) = compare(side("v1", divergence(0.03, 0.5, 0.94)), side("v2")).apart
    assert (apart.measure, apart.why) == ("divergence", "measured of v1 only")
    assert [len(figures) for figures in apart.figures] == [3, 0]


def test_a_figure_that_one_of_them_lacks_has_no_verdict():
    weights = [measured("weight_error", {"all": 0.1, "classes": classes}, {}) for classes in ({"a": 0.2}, {"b": 0.3})]
    found = rows(side("v1", weights[0]), side("v2", weights[1]))
    assert found["weight error"].word == "same"
    assert (found["weight error of a"].values, found["weight error of a"].word) == ((0.2, None), None)
    assert (found["weight error of b"].values, found["weight error of b"].word) == ((None, 0.3), None)


def test_the_base_is_the_same_whatever_becomes_of_it_and_takes_no_part():
    base = replace(perplexity(12.0), subject="base")
    assert compare(side("v1", base), side("v2", replace(base, values={**base.values, "perplexity": 9.0}))).rows == ()


def test_bits_per_weight_are_compared_by_class_over_all_precisions():
    one = side("v1", classes=[TensorClass("mlp", 800, "4 bit g64", 450), TensorClass("norm", 10, "bfloat16", 20)])
    other = side(
        "v2",
        classes=[
            TensorClass("mlp", 200, "8 bit g64", 212),
            TensorClass("mlp", 600, "3 bit g64", 262),
            TensorClass("head", 80, "8 bit g64", 85),
        ],
    )
    found = compare(one, other)
    assert [(total.bytes, round(total.bits_per_weight, 2)) for total in found.total] == [(470, 4.64), (559, 5.08)]
    by_name = {name: pair for name, *pair in found.classes}
    assert list(by_name) == ["mlp", "norm", "head"]
    assert [round(amounts.bits_per_weight, 2) for amounts in by_name["mlp"]] == [4.5, 4.74]
    assert by_name["mlp"][1].precision == "3 bit g64, 8 bit g64"
    assert by_name["norm"][1] is None
    assert by_name["head"][0] is None


def test_programs_get_everything_as_json():
    one = side("v1", perplexity(12.0), divergence(0.03, 0.5, 0.94), classes=[TensorClass("mlp", 800, "4 bit g64", 450)])
    other = side("v2", perplexity(12.5), classes=[TensorClass("norm", 10, "bfloat16", 20)])
    table = json.loads(json.dumps(compare(one, other).to_json(), allow_nan=False))
    assert list(table) == ["releases", "total", "classes", "figures", "not_comparable"]
    assert table["releases"] == ["v1", "v2"]
    assert [row["of"][1] for row in table["classes"]] == [
        None,
        {"bytes": 20, "bits_per_weight": 16.0, "precision": "bfloat16"},
    ]
    (row,) = table["figures"]
    assert {key: row[key] for key in ("figure", "unit", "values", "errors", "difference", "how", "word")} == {
        "figure": "perplexity", "unit": "", "values": [12.0, 12.5], "errors": [0.5, 0.5],
        "difference": pytest.approx(0.5), "how": "independent", "word": "within error",
    }  # fmt: skip
    (apart,) = table["not_comparable"]
    assert (apart["measure"], apart["why"]) == ("divergence", "measured of v1 only")
    assert apart["figures"][0][0] == {"figure": "KL mean", "unit": "nats", "value": 0.03, "error": 0.001}
