"""What changed of the evidence: nothing that is edited goes unseen, and nothing is said twice."""

from __future__ import annotations

from dataclasses import replace

import card_changes
import pytest

from pipeline.card.figure_changes import evidence_changes
from pipeline.card.leaves import leaves
from pipeline.evidence import Evidence


def numbers(case):
    """Where every number of the evidence stands: measurement, and the keys that lead to it."""

    def within(value, path):
        if isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from within(inner, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path

    for index, one in enumerate(case.evidence.measurements):
        for part in ("values", "settings"):
            yield from ((index, part, path) for path in within(getattr(one, part), ()))


def edited(evidence, index, part, path, change):
    def within(value, keys):
        if not keys:
            return change(value)
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[keys[0]] = within(value[keys[0]], keys[1:])
        return copy

    rows = list(evidence.measurements)
    rows[index] = replace(rows[index], **{part: within(getattr(rows[index], part), path)})
    return Evidence(tuple(rows))


def figures(old, new):
    return evidence_changes(Evidence(tuple(old)), Evidence(tuple(new))).figures


@pytest.mark.parametrize("case", ["measured", "fast"])
def test_whatever_number_is_edited_shows_as_exactly_one_line(case, request):
    made = request.getfixturevalue(case)
    tried = 0
    for index, part, path in numbers(made):
        if part == "values" and path[-1] == "tokens" and path[0] in {"prompt", "generation"}:
            continue  # the length of a prompt names the figure: another length is another figure
        found = evidence_changes(made.evidence, edited(made.evidence, index, part, path, lambda value: value * 2 + 1))
        shown = [*found.figures, *found.settings, *found.words]
        assert len(shown) == 1, (made.evidence.measurements[index].measure, path, shown)
        tried += 1
    assert tried > 25


@pytest.mark.parametrize(
    ("measure", "key", "value", "verdict"),
    [
        ("perplexity", "perplexity", 14.9, "worse"),
        ("perplexity", "perplexity", 11.0, "better"),
        ("perplexity", "perplexity", 13.2, "within error"),
        ("perplexity", "perplexity", None, "REMOVED"),
        ("divergence", "top1", 0.99, "better"),
        ("divergence", "top1", 0.5, "worse"),
        ("divergence", "kl_p99", 0.2, "better"),
        ("divergence", "kl_p99", 0.4, "worse"),
        ("weight_error", "all", 0.02, "better"),
    ],
)
def test_the_verdict_follows_the_metric_and_its_error(measure, key, value, verdict, measured):
    changed = card_changes.with_values(measured, measure, **{key: value})
    (row,) = evidence_changes(measured.evidence, changed.evidence).figures
    assert row.verdict == verdict
    (back,) = evidence_changes(changed.evidence, measured.evidence).figures
    assert back.verdict == {"worse": "better", "better": "worse", "REMOVED": "added"}.get(verdict, verdict)


def test_a_figure_without_an_error_says_so(measured):
    changed = card_changes.with_values(measured, "divergence", kl_p99=0.4)
    (row,) = evidence_changes(measured.evidence, changed.evidence).figures
    assert (row.note, round(row.relative, 3)) == ("error unknown", 0.279)


def test_figures_that_were_taken_otherwise_are_neither_better_nor_worse(measured):
    changed = card_changes.with_values(measured, "perplexity", perplexity=99.0)
    changed = card_changes.with_measurement(
        changed, "perplexity", "quantized", lambda one: replace(one, settings={**one.settings, "window": 128})
    )
    found = evidence_changes(measured.evidence, changed.evidence)
    assert [(row.verdict, row.comparable) for row in found.figures] == [("changed", False)]
    assert [(row.what, row.old, row.new, row.note) for row in found.settings] == [("window", 512, 128, "perplexity")]


def test_a_setting_that_changed_everywhere_is_said_once(measured):
    rows = [replace(one, tools={**one.tools, "mlx": "0.33"}) for one in measured.evidence.measurements]
    found = evidence_changes(measured.evidence, Evidence(tuple(rows)))
    (row,) = found.settings
    assert (row.what, row.old, row.new) == ("tools.mlx", "0.32.4", "0.33")
    assert row.note == "perplexity, base; perplexity; generation; serving and 2 more"
    assert not found.figures


def test_a_measurement_is_found_again_among_others_of_its_model(measured):
    one = measured.theirs("MLX 4 bit", 13.4, 0.06)
    other = measured.theirs("MLX 4 bit", 21.0, 0.16, settings={"harness": "llama-perplexity"})
    assert not figures([one, other], [other, one])
    (row,) = figures([one, other], [other])
    assert (row.what, row.verdict) == ("perplexity, MLX 4 bit, mlx_lm.perplexity", "REMOVED")


def test_dates_and_the_digest_of_the_weights_are_no_changes(measured):
    rows = [replace(one, measured_at="2031", weights="e" * 64) for one in measured.evidence.measurements]
    assert not any(vars(evidence_changes(measured.evidence, Evidence(tuple(rows)))).values())


def test_a_longer_answer_is_words_and_its_length_says_nothing_more(measured):
    said = measured.answer("What is the capital of France?", "It is Paris, as it has been for long.")
    said["tokens"] = 99
    rest = measured.evidence.find("generation", "quantized").values["transcripts"][1:]
    changed = card_changes.with_values(measured, "generation", transcripts=[said, *rest])
    found = evidence_changes(measured.evidence, changed.evidence)
    assert [words.what for words in found.words] == ["answer to “What is the capital of France?”"]
    assert not found.figures


def test_much_evidence_is_compared_in_one_go(measured):
    rows = [measured.theirs(f"model {number}", 3.0 + number, 0.1) for number in range(2000)]
    changed = [*rows[:1000], measured.theirs("model 1000", 2000.0, 0.1), *rows[1001:]]
    assert [row.verdict for row in figures(rows, changed)] == ["worse"]


def test_tables_in_a_list_keep_their_names_when_others_come_before_them():
    old = [{"prompt": "a", "text": "1"}, {"prompt": "b", "text": "2"}]
    assert leaves(old, ("prompt",))["b.text"] == leaves([{"prompt": "x", "text": "0"}, *old], ("prompt",))["b.text"]
    assert leaves({"rows": [{"a": 1}, {"a": 2}], "empty": []}) == {"rows.1.a": 1, "rows.2.a": 2, "empty": []}
