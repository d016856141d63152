from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pipeline.card import quality
from pipeline.card.front_matter import parse
from pipeline.evidence import Evidence


@pytest.mark.parametrize(
    ("value", "verdict", "words"),
    [
        (12.9, "within error", "3.2 % higher, within the error"),
        (14.0, "worse", "12 % higher, beyond the error"),
        (11.0, "better", "12 % lower, beyond the error"),
        (12.5, "within error", "the same."),
    ],
)
def test_the_difference_is_judged_by_its_own_error(demo, value, verdict, words):
    changed = demo.with_evidence(demo.perplexity("base", 12.5, 0.4), demo.perplexity("quantized", value, 0.4))
    found = quality.read(changed.evidence).comparison
    assert found.verdict == verdict
    assert found.error == pytest.approx(0.4 * math.sqrt(2))
    assert words in changed.card()


def test_figures_taken_in_different_ways_are_not_put_into_one_column(demo):
    base, quantized = demo.evidence.measurements[:2]
    other = demo.perplexity("base", 11.4321, 0.4, settings={**base.settings, "window": 1024})
    found = quality.read(Evidence((other, quantized)))
    assert (found.base, found.comparison) == (None, None)
    card = demo.with_evidence(other, quantized).card()
    assert "because it was measured in another way: window 512 against 1024." in card
    assert "11.4" not in card
    assert "Not measured: answers," in card
    assert "%" not in card.split("## How good it is")[0].split("---\n", 2)[2]


@pytest.mark.parametrize("harness", ["llama.cpp", "pipeline"])
@pytest.mark.parametrize("subject", ["base", "quantized"])
def test_an_imported_figure_never_stands_for_one_that_was_measured_here(demo, subject, harness):
    base, quantized = demo.evidence.measurements[:2]
    told = demo.perplexity(subject, 11.4321, 0.4, settings={**base.settings, "harness": harness})
    assert quality.read(Evidence((told, base, quantized))) == quality.read(Evidence((base, quantized)))
    alone = demo.with_evidence(told)
    fields, body = parse(alone.card())
    shown = fields["model-index"][0]["results"] if subject == "quantized" else []
    assert [result["dataset"]["args"]["harness"] for result in shown] == [harness] * len(shown)
    assert ("model-index" in fields) == (subject == "quantized")
    assert "## How good it is" not in body
    assert quality.read(alone.evidence).comparison is None


@pytest.mark.parametrize(
    ("nats", "error", "verdict", "words"),
    [
        (0.04123, 0.00612, "worse", "4.2 % higher, beyond the error"),
        (0.01, 0.00612, "within error", "1.0 % higher, within the error"),
        (-0.02, 0.00612, "better", "2.0 % lower, beyond the error"),
        (0.0, 0.0, "same", "the same."),
    ],
)
def test_the_paired_difference_decides_where_it_was_measured(measured, nats, error, verdict, words):
    base = measured.evidence.measurements[0]
    quantized = measured.perplexity("quantized", 12.4981 * math.exp(nats), 0.4187)
    paired = measured.divergence(values={"loss_difference": nats, "loss_difference_error": error})
    changed = measured.with_evidence(base, quantized, paired)
    found = quality.read(changed.evidence).comparison
    assert (found.verdict, found.paired) == (verdict, True)
    assert found.difference == pytest.approx(12.4981 * (math.exp(nats) - 1))
    card = changed.card()
    assert words in card
    assert "token by token and clustered by window" in card
    assert "treated as independent" not in card


def test_a_divergence_on_another_text_says_so_and_decides_nothing_about_perplexity(measured):
    elsewhere = measured.divergence(settings={**measured.evidence.measurements[0].settings, "windows": 64})
    changed = measured.with_evidence(*measured.evidence.measurements[:2], elsewhere)
    assert quality.read(changed.evidence).comparison.paired is False
    assert "otherwise than the perplexity above: windows 64 against 16." in changed.card()


def test_of_a_divergence_only_what_is_there_is_shown(measured):
    values = dict.fromkeys(("kl_mean_error", "kl_p99", "top1_error", "tokens"))
    card = measured.with_evidence(measured.divergence(values=values, source="reported")).card()
    assert "KL divergence from the base 0.0312 nats, the same most likely token in 94.1 % of cases." in card
    assert "99th percentile" not in card
    assert "These figures are reported." in card
    assert "one standard error" not in card
    card = measured.with_evidence(measured.divergence(values={"kl_mean": None, "top1": math.nan})).card()
    assert "bits per weight.**" in card
    assert "most likely" not in card


@pytest.mark.parametrize("part", ["## How close it stays to the base", "## What rounding did", "## Thresholds that it"])
def test_a_part_without_evidence_is_left_out(demo, measured, part):
    assert part in measured.card()
    assert part not in demo.card()


@pytest.mark.parametrize("value", [math.inf, None, "13", 10**400])
def test_a_figure_that_is_no_number_is_said_and_not_compared(demo, value):
    card = demo.with_evidence(demo.perplexity("base", 12.5, 0.4), demo.perplexity("quantized", value, math.nan)).card()
    assert "Perplexity not finite." in card
    assert "model-index" not in parse(card)[0]


def test_without_the_base_the_card_says_that_it_is_missing(demo):
    card = demo.with_evidence(demo.perplexity("quantized", 13.0, 0.4)).card()
    assert "Perplexity 13.00 ± 0.40.**" in card
    assert "Not measured: perplexity of the base, answers," in card


def test_a_faultless_answer_is_shown_first(demo):
    bad = demo.answer("First?", "la la la", ["it repeats itself"])
    good = demo.answer("Second?", "Yes.")
    card = demo.with_evidence(demo.generation(bad, good)).card()
    assert "To “Second?” it said:\n\n> Yes.\n" in card
    assert "- “First?”: it repeats itself\n" in card
    assert "To “First?” it said:\n\n> la la la\n" in demo.with_evidence(demo.generation(bad)).card()


def test_a_model_that_says_nothing_is_said_to(demo):
    card = demo.with_evidence(demo.generation(demo.answer("First?", "", ["it says nothing"]))).card()
    assert "To “First?” it said nothing.\n" in card


def test_reported_figures_are_marked(demo):
    reported = demo.perplexity("base", 12.5, 0.4, source="reported")
    card = demo.with_evidence(reported, demo.evidence.measurements[1]).card()
    assert "12.50 ± 0.40 (reported)" in card
    assert "Figures marked as reported" in card
    assert "reported" not in demo.card()


def test_a_reported_figure_may_come_without_its_settings(demo):
    bare = demo.perplexity("quantized", 13.0, 0.4, settings={}, source="reported")
    card = demo.with_evidence(bare).card()
    assert "13.00 ± 0.40 (reported)" in card
    assert "Measured on" not in card
    assert "Perplexity was measured on one text. Other kinds" in card


def test_a_reported_figure_may_come_without_its_error_and_its_tokens(demo):
    _, quantized, *_ = demo.evidence.measurements
    bare = replace(quantized, values={"perplexity": 13.0243}, source="reported")
    card = demo.with_evidence(bare).card()
    assert "Perplexity 13.0.**" in card
    assert "| 13.0 (reported) |" in card
    assert "16 windows of 512 tokens.\n" in card
    (metric,) = parse(card)[0]["model-index"][0]["results"][0]["metrics"]
    assert (metric["value"], "args" in metric) == (13.024, False)


def answers(demo, *rows, prompts=("First?", "Second?"), sampling="greedy", templates=()):
    said = demo.generation(*rows)
    values = {**said.values, "templates": list(templates)}
    return replace(said, values=values, settings={**said.settings, "prompts": list(prompts), "sampling": sampling})


def test_drawn_answers_and_what_was_expected_are_said(demo):
    rows = [demo.answer(prompt, "Yes.") for prompt in ("First?", "Second?")]
    drawn = [{**row, "sampled": True} for row in rows]
    sampling = {"temperature": 0.7, "top_p": 0.95, "seed": 3}
    prompts = ({"ask": "First?", "expect": "Yes"}, "Second?")
    card = demo.with_evidence(answers(demo, *rows, *drawn, prompts=prompts, sampling=sampling)).card()
    assert (
        "Asked 2 questions through its chat template, greedily and once more with answers drawn at temperature 0.7 "
        "(top-p 0.95, seed 3), it answered readably, came to an end by itself and did not repeat itself.\n"
        "What the answer to 1 of them had to contain was in it.\n"
    ) in card
    bad = {**drawn[0], "stopped": False, "problems": ["did not stop within 31 tokens"]}
    card = demo.with_evidence(answers(demo, *rows, bad, drawn[1], sampling=sampling)).card()
    assert "Of 4 answers through its chat template, 3 are readable" in card
    assert "- “First?” (drawn): did not stop within 31 tokens\n" in card


def test_what_the_chat_template_was_tried_on_is_said(demo):
    tried = [{"conversation": name, "problems": []} for name in ("one turn", "several turns", "tools")]
    card = demo.with_evidence(answers(demo, demo.answer("First?", "Yes."), templates=tried)).card()
    assert (
        "tried on conversations with one turn, several turns and tools: nothing that was said in them gets lost."
        in card
    )
    tried[2] = {"conversation": "tools", "problems": ["drops the result of a tool"]}
    card = demo.with_evidence(answers(demo, demo.answer("First?", "Yes."), templates=tried)).card()
    assert "Its chat template is at fault: drops the result of a tool.\n" in card


def test_the_card_says_whether_its_own_command_was_run(demo):
    command = "mlx_lm.server --model demo/SmolLM2-135M-Instruct-MLX-mixed"
    untried, well = "None of these commands was tried", "The server answered a question"
    assert command + "\n```" in demo.card()
    assert untried in demo.with_evidence().card()
    assert well in demo.with_evidence(demo.serving(command)).card()
    assert untried in demo.with_evidence(demo.serving(command + " --trust-remote-code")).card()
    card = demo.with_evidence(demo.serving(command, "the streamed answer breaks off")).card()
    assert (
        "published, without a GPU and therefore in float32.\nNot all was well: the streamed answer breaks off." in card
    )
    assert well not in card
    on_a_mac = replace(demo.serving(command), settings={"backend": "metal"})
    assert f"The last one was run with these files before they were published.\n{well}" in (
        demo.with_evidence(on_a_mac).card()
    )
