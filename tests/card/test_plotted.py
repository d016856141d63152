from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.card import plotted
from pipeline.card.inputs import Sibling
from pipeline.evidence import Evidence
from pipeline.lock import TensorClass

WORDS = {"text": "samples of 1000 tokens", "reported": "https://example.org"}


@pytest.fixture
def beside(demo):
    """The demo with two siblings, and a base whose size is known: `(case, siblings, **changes of the lock)`."""

    def made(*siblings, base=None, label="Ours"):
        case = demo.with_release(label=label) if label else demo
        lock = replace(demo.lock, base=replace(demo.lock.base, bytes=base))
        return replace(case.inputs, lock=lock, evidence=demo.evidence, siblings=siblings)

    return made


def sibling(name, nbytes, *measurements):
    return Sibling(name, f"MLX {name}", "", nbytes, None, Evidence(measurements))


def shown(chart):
    return [(one.label, one.points[0].x, one.points[0].said) for one in chart.series]


def test_perplexity_stands_against_size_for_the_release_its_base_and_its_siblings(demo, beside):
    chart = plotted.quality(
        beside(
            sibling("3 bit", 80_000_000, demo.perplexity("quantized", 15.2, 0.5)),
            sibling("6 bit", 120_000_000, demo.perplexity("base", 12.5, 0.4), demo.perplexity("quantized", 12.6, 0.4)),
            base=269_000_000,
        ),
        "perplexity",
    )
    assert shown(chart) == [
        ("Ours (this model)", demo.lock.bytes, "13.02 ± 0.42"),
        ("the base", 269_000_000, "12.50 ± 0.40"),
        ("MLX 3 bit", 80_000_000, "15.20 ± 0.50"),
        ("MLX 6 bit", 120_000_000, "12.60 ± 0.40"),
    ]
    assert [one.own for one in chart.series] == [True, False, False, False]
    assert chart.note == "measured by pipeline, 16 windows of 512 tokens, on the CPU; ± one standard error"


def test_a_release_without_a_label_is_this_model(beside):
    assert shown(plotted.quality(beside(base=1, label=None), "perplexity"))[0][0] == "this model"


def test_a_model_that_cannot_be_placed_is_named(demo, beside):
    unknown = sibling("x", None, demo.perplexity("quantized", 15.2, 0.5))
    chart = plotted.quality(beside(unknown, base=269_000_000), "perplexity")
    assert len(chart.series) == 2
    assert chart.note.endswith("; not shown, as its size is not known: MLX x")


def test_a_comparison_needs_two_models_of_known_size(demo, beside):
    assert plotted.quality(beside(), "perplexity") is None
    assert plotted.quality(beside(sibling("x", None, demo.perplexity("quantized", 15.2, 0.5))), "perplexity") is None
    assert plotted.quality(replace(beside(base=5), evidence=Evidence()), "perplexity") is None


@pytest.mark.parametrize("how", [{"window": 1024}, {"harness": "mlx_lm.perplexity"}, {"text": {"sha256": "0"}}])
def test_figures_of_two_ways_never_share_a_chart(demo, beside, how):
    settings = {**demo.evidence.find("perplexity", "quantized").settings, **how}
    other = sibling("x", 80_000_000, demo.perplexity("quantized", 15.2, 0.5, settings=settings))
    assert plotted.quality(beside(other), "perplexity") is None
    assert len(plotted.quality(beside(other, base=269_000_000), "perplexity").series) == 2


def test_of_two_ways_the_one_that_more_models_were_measured_in_is_shown(demo, beside):
    siblings = [sibling(name, 80, demo.theirs("quantized", 3.7, 0.02, settings=WORDS)) for name in ("a", "b", "c")]
    own = demo.theirs("quantized", 3.8, 0.02, settings=WORDS)
    inputs = beside(*siblings, base=269_000_000)
    inputs = replace(inputs, evidence=inputs.evidence.merged([own]))
    chart = plotted.quality(inputs, "perplexity")
    assert [said for _, _, said in shown(chart)] == ["3.800 ± 0.020", *["3.700 ± 0.020"] * 3]
    assert chart.note == (
        "mlx_lm.perplexity 0.30.7, samples of 1000 tokens; ± one standard error; reported, not measured here"
    )


def test_a_way_in_which_models_can_be_placed_is_preferred_to_one_without_sizes(demo, beside):
    siblings = [sibling(name, None, demo.theirs("quantized", 3.7, 0.02, settings=WORDS)) for name in ("a", "b", "c")]
    inputs = beside(*siblings, base=269_000_000)
    inputs = replace(inputs, evidence=inputs.evidence.merged([demo.theirs("quantized", 3.8, 0.02, settings=WORDS)]))
    assert [said for _, _, said in shown(plotted.quality(inputs, "perplexity"))] == ["13.02 ± 0.42", "12.50 ± 0.40"]


def test_of_very_many_models_the_first_are_shown_and_the_rest_counted(demo, beside):
    many = [sibling(f"{n}", 80 + n, demo.perplexity("quantized", 12.6 + n, 0.4)) for n in range(14)]
    chart = plotted.quality(beside(*many), "perplexity")
    assert (len(chart.series), chart.series[0].own) == (10, True)
    assert "; the first 10 of 15" in chart.note
    rows = [demo.rate(1000, 300.0)]
    every = [sibling(f"{n}", None, replace(demo.speed(prompt=rows), subject="quantized")) for n in range(14)]
    assert plotted.speed(beside(*every)).note.endswith("; the first 10 of 14")


def test_the_distance_from_the_base_is_shown_where_siblings_were_measured_alike(demo, beside):
    inputs = beside(sibling("3 bit", 80_000_000, demo.divergence(values={"kl_mean": 0.2, "kl_mean_error": None})))
    assert plotted.quality(inputs, "divergence") is None
    chart = plotted.quality(replace(inputs, evidence=inputs.evidence.merged([demo.divergence()])), "divergence")
    assert [said for _, _, said in shown(chart)] == ["0.0312 ± 0.0011", "0.200"]
    assert "nats" in chart.y_axis
    assert "lower is better" in chart.y_axis


def test_a_quantization_that_loses_nothing_is_shown_at_zero(demo, beside):
    exact = demo.divergence(values={"kl_mean": 0.0, "kl_mean_error": 0.0})
    inputs = beside(sibling("8 bit", 140_000_000, exact))
    chart = plotted.quality(replace(inputs, evidence=Evidence((demo.divergence(),))), "divergence")
    assert [one.points[0].y for one in chart.series] == [0.03121, 0.0]


def test_speed_has_a_line_for_each_model_and_names_other_programs(demo, beside):
    own = demo.speed(prompt=[demo.rate(5000, 388.0, 12.4), demo.rate(1000, 412.3, 3.5)])
    theirs = demo.speed(prompt=[demo.rate(1000, 400.0)], generation=[demo.rate(500, 20.0), demo.rate(1000, 19.0)])
    gguf = demo.gguf("Q4_K_M.gguf", [demo.rate(512, 90.0, 1.0)], source="reported")
    inputs = beside(sibling("3 bit", None, replace(theirs, subject="quantized")))
    chart = plotted.speed(replace(inputs, evidence=Evidence((gguf, own))))
    reading, generating = chart.panels
    assert [(one.name, [point.x for point in one.points]) for one in reading.series] == [
        ("Ours (this model)", [1000, 5000]),
        ("MLX 3 bit", [1000]),
        ("Q4_K_M.gguf (llama-bench)", [512]),
    ]
    assert [one.reported for one in reading.series] == [False, False, True]
    assert [one.label for one in generating.series] == ["MLX 3 bit"]
    assert "± one standard deviation; hollow: reported elsewhere" in chart.note


def test_two_lines_of_one_model_say_by_what_they_differ(demo, beside):
    rows = [demo.rate(1000, 300.0, 3.0), demo.rate(5000, 250.0, 3.0)]
    inputs = replace(
        beside(), evidence=Evidence((demo.gguf(prompt=rows), demo.gguf(prompt=rows, settings={"n_ubatch": 9})))
    )
    assert [one.detail for one in plotted.speed(inputs).panels[0].series] == ["n_ubatch 512", "n_ubatch 9"]


def test_one_speed_is_no_comparison_and_a_speed_of_nothing_is_none(demo, beside):
    for rows in ([demo.rate(1000, 300.0)], [demo.rate(1000, 300.0), demo.rate(0, 4.0), demo.rate(5, float("inf"))]):
        assert plotted.speed(replace(beside(), evidence=Evidence((demo.speed(prompt=rows),)))) is None
    assert plotted.speed(replace(beside(), evidence=Evidence())) is None


def test_small_classes_are_one_bar_that_says_how_many_they_are(demo):
    lock = demo.lock
    tiny = tuple(TensorClass(f"norm {n}", 100, "bfloat16" if n else "float32", 200) for n in range(3))
    bars = plotted.classes(replace(demo.inputs, lock=replace(lock, classes=(*tiny, *lock.classes)))).bars
    assert [bar.bytes for bar in bars[:-1]] == sorted((bar.bytes for bar in bars[:-1]), reverse=True)
    assert (bars[-1].label, bars[-1].stored, bars[-1].bytes) == ("4 others", "bfloat16, float32", 70_272 + 600)
    assert bars[0].label == "embed_tokens"
    assert bars[0].stored == "8 bit g64"
    assert sum(bar.bytes for bar in bars) == sum(kind.bytes for kind in (*tiny, *lock.classes))


def test_a_single_small_class_keeps_its_name_and_many_large_ones_are_bounded(demo):
    assert plotted.classes(demo.inputs).bars[-1].label == "norms"
    many = tuple(TensorClass(f"class {n}", 1000, "4 bit g64", 500 + n) for n in range(40))
    bars = plotted.classes(replace(demo.inputs, lock=replace(demo.lock, classes=many, bytes=20_780))).bars
    assert (len(bars), bars[-1].label, bars[-1].stored) == (12, "29 others", "4 bit g64")


def test_one_class_is_nothing_to_compare_and_a_plan_says_so(demo):
    one = replace(demo.lock, classes=demo.lock.classes[:1])
    assert plotted.classes(replace(demo.inputs, lock=one)) is None
    assert plotted.classes(replace(demo.inputs, released=False)).note.endswith("bits per weight, as planned")
