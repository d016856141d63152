from __future__ import annotations

import pytest

from pipeline.card import speed
from pipeline.card.escape import Markdown
from pipeline.card.models import models


def read_models(case):
    return models(case.inputs, Markdown("the base"))


def table(card):
    """The table of speeds: its cells, row by row."""
    part = card.split("## How fast it is\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part if not line.startswith("|:-")]


def test_without_evidence_there_is_no_such_part(demo):
    card = demo.card()
    assert "How fast" not in card
    assert "How much memory" not in card
    assert "diverge from the base's, speed, memory in use." in card


def test_two_programs_never_share_a_column(demo):
    own = demo.speed(prompt=[demo.rate(1000, 400.0, 2.0)])
    theirs = demo.gguf(prompt=[demo.rate(1000, 300.0, 3.0)], generation=[demo.rate(500, 20.0, 0.1)])
    card = demo.with_evidence(theirs, own).card()
    assert table(card) == [
        ["Tokens per second", "this model", "`SmolLM2-135M-Instruct-Q4_K_M.gguf`"],
        ["reading 1,000 tokens", "400.0 ± 2.0", "300.0 ± 3.0"],
        ["generating 500 tokens", "", "20.00 ± 0.10"],
    ]
    assert "llama-bench 7822 (8f91ca54e)" in card
    assert "`llama-bench -m SmolLM2-135M-Instruct-Q4_K_M.gguf -p 1000 -n 500`" in card
    assert "two of them compare no further" in card


def test_one_model_measured_in_two_ways_has_two_columns_that_say_how(demo):
    rows = [demo.rate(1000, 300.0, 3.0)]
    card = demo.with_evidence(
        demo.gguf(prompt=rows), demo.gguf(prompt=rows, settings={"n_ubatch": 2048, "command": "llama-bench -ub 2048"})
    ).card()
    assert [heading.rpartition("` ")[2] for heading in table(card)[0][1:]] == ["(n_ubatch 512)", "(n_ubatch 2048)"]


def test_a_figure_of_this_model_by_another_program_is_not_its_own_measurement(demo):
    theirs = demo.speed(prompt=[demo.rate(1000, 300.0)], settings={"harness": "mlx_lm.benchmark"})
    found = speed.read(read_models(demo.with_evidence(theirs)))
    assert found.own is None
    own = demo.speed(prompt=[demo.rate(1000, 400.0)])
    both = speed.read(read_models(demo.with_evidence(theirs, own)))
    assert both.own is not None
    assert both.own.prompt[1000].tokens_per_second == 400
    assert [column.name for column in both.columns] == [r"this model (mlx_lm.benchmark)", "this model (pipeline)"]


def test_models_that_were_measured_in_one_way_are_told_of_together(demo):
    def theirs(name):
        how = {"harness": "mlx_lm.benchmark", "reported": "https://example.org"}
        return demo.speed(name, [demo.rate(1000, 300.0)], settings=how, source="reported", machine={})

    card = demo.with_evidence(theirs("one"), theirs("two")).card()
    how = "mlx_lm.benchmark; on which machine is not said; reported at <https://example.org>"
    assert f"- `one`, `two`: {how}.\n" in card


def test_lengths_that_were_timed_on_two_machines_are_two_columns(demo):
    one = demo.speed(prompt=[demo.rate(1000, 400.0)], machine={"chip": "Apple M3 Ultra", "cores": 32})
    other = demo.speed(prompt=[demo.rate(5000, 90.0)], machine={"chip": "Apple M1", "cores": 32})
    headings = table(demo.with_evidence(one, other).card())[0]
    assert headings[1:] == ["this model (chip Apple M3 Ultra)", "this model (chip Apple M1)"]


@pytest.mark.parametrize(("peak", "headings"), [(None, 1), (712_000_000, 2)])
def test_peak_memory_is_shown_where_it_is_known(demo, peak, headings):
    card = demo.with_evidence(demo.speed(prompt=[demo.rate(1000, 400.0, 2.0, peak)])).card()
    assert len(table(card)[0]) == 1 + headings
    assert ("712 MB" in card) == (peak is not None) == ("MLX held at most" in card)
    assert "speed, memory in use" not in card


def test_what_was_reported_elsewhere_says_where(demo):
    theirs = demo.gguf(
        prompt=[demo.rate(1000, 148.82)], source="reported", settings={"reported": "https://example.org"}
    )
    card = demo.with_evidence(theirs).card()
    assert "reported at <https://example.org>" in card
    assert "Figures marked as reported" in card
    assert table(card)[1][1] == "148.82"
    assert "standard deviation" not in card
    assert "diverge from the base's, speed, memory in use." in card
