from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.card import standing


def rows(card):
    part = card.split("## How good it is\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part if ":-" not in line]


def test_siblings_that_were_measured_alike_stand_beside_it_with_their_sizes(measured):
    sibling = (
        measured.perplexity("base", 12.4981, 0.4012),
        measured.perplexity("quantized", 13.9, 0.45),
        measured.divergence(values={"kl_mean": 0.0712, "kl_mean_error": 0.002, "loss_difference": 0.1}),
    )
    card = measured.with_siblings(("4 bit", 70_000_000, sibling)).card()
    assert rows(card) == [
        ["Model", "Size", "Bits per weight", "Perplexity", "Against the base", "KL divergence", "Same top token"],
        ["`demo/SmolLM2-135M-Instruct`", "", "", "12.50 ± 0.40", "", "", ""],
        [
            "**this model**", "106 MB", "6.33", "13.02 ± 0.42", "+0.526 (+4.21 %), worse",
            "0.0312 ± 0.0011 nats", "94.12 ± 0.26 %",
        ],
        [
            "[4 bit](https://example.org/1)", "70.0 MB", "", "13.90 ± 0.45", "+1.314 (+10.52 %), worse",
            "0.0712 ± 0.0020 nats", "94.12 ± 0.26 %",
        ],
    ]  # fmt: skip
    assert "The lowest of the quantized ones is within error of [4 bit](https://example.org/1), so none is" in card


def test_the_best_of_the_quantized_ones_is_bold_only_when_that_is_sure(measured):
    sibling = (measured.perplexity("quantized", 23.9, 0.45),)
    card = measured.with_siblings(("2 bit", None, sibling)).card()
    assert [row[3] for row in rows(card)[1:]] == ["12.50 ± 0.40", "**13.02 ± 0.42**", "23.90 ± 0.45"]
    assert "The bold one is lower than that of every other quantized model" in card


def test_where_an_error_is_missing_nothing_is_said_to_be_within_it(measured):
    bare = measured.perplexity("quantized", 50.0, 0.4)
    bare = replace(bare, values={key: value for key, value in bare.values.items() if key != "standard_error"})
    card = measured.with_siblings(("bare", None, (bare,))).card()
    assert "is within error of" not in card
    assert "lower than [bare](https://example.org/1) is not known: an error is missing." in card
    assert all("**" not in row[3] for row in rows(card))


@pytest.mark.parametrize("change", [{"window": 1024}, {"backend": "metal"}])
def test_a_sibling_that_was_measured_in_another_way_is_not_in_the_table(measured, change):
    settings = {**measured.evidence.measurements[0].settings, **change}
    card = measured.with_siblings(("old", 1, (measured.perplexity("quantized", 9.87, 0.1, settings=settings),))).card()
    assert len(rows(card)) == 3
    assert "9.87" not in card
    assert "[old](https://example.org/1) was measured in another way and is not in the table: " in card


def test_without_a_figure_of_this_model_there_is_no_table(demo):
    assert standing.read(_models(demo.with_evidence()), {}).rows == ()


def _models(case):
    from pipeline.card.escape import Markdown
    from pipeline.card.models import models

    return models(case.inputs, Markdown("the base"))
