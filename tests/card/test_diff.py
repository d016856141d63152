from __future__ import annotations

from dataclasses import replace

from pipeline.card import wording
from pipeline.card.diff import diff, differs
from pipeline.card.snapshot import Snapshot
from pipeline.evidence import Evidence


def test_equal_cards_do_not_differ():
    assert differs("a\nb\n", "a\nb\n") == ""


def test_the_diff_shows_old_and_new():
    shown = differs("a\nperplexity 13.02\nb\n", "a\nperplexity 13.03\nb\n")
    assert shown.splitlines()[:2] == ["--- committed", "+++ rendered"]
    assert "-perplexity 13.02\n+perplexity 13.03\n" in shown


def test_a_missing_last_newline_is_a_difference():
    assert differs("a\n", "a")
    assert differs("a\u2028b\n", "a\nb\n")


def test_a_figure_of_a_sibling_is_a_line_of_its_own_and_no_words(demo):
    """Its table stands on this card too: what changed there is told by the evidence all the same."""
    before, after = (Evidence((demo.perplexity("quantized", value, 0.1),)) for value in (12.0, 14.0))

    def card_of(evidence, lock, siblings):
        return f"---\na: 1\n---\n# Demo\n\n| v3 | {siblings['v3'].measurements[0].values['perplexity']} |\n"

    old, new = (
        Snapshot(label, card_of(None, None, {"v3": found}), demo.evidence, demo.lock, siblings={"v3": found})
        for label, found in (("old", before), ("new", after))
    )
    found = diff("demo", old, new, card_of)
    assert [(row.what, row.verdict) for row in found.changes] == [("perplexity, v3", "worse")]
    assert not found.words
    assert "14.0" in found.unified


def test_without_evidence_the_words_are_those_without_figures(demo):
    old = "---\nlicense: mit\n---\n# Demo 1\n\nIn 5 bits.\n\n## A\n\nGood.\n\nPerplexity 12.\n\n| a | b |\n"
    new = "---\nlicense: mit\n---\n# Demo 2\n\nIn 6 bits.\n\n## A\n\nBad.\n\nPerplexity 13.\n\n| a | c |\n"
    found = diff("demo", Snapshot("old", old), Snapshot("new", new, demo.evidence, demo.lock))
    assert [words.what for words in found.words] == ["title", "summary", "A"]
    assert [remark.partition(" in ")[0] for remark in found.remarks] == ["no evidence", "no lock"]


def test_evidence_that_the_templates_of_today_do_not_understand_ends_no_diff(demo):
    def card_of(evidence, lock, siblings):
        raise KeyError("perplexity")

    sides = (Snapshot(label, demo.card(), demo.evidence, demo.lock) for label in ("old", "new"))
    assert not diff("demo", *sides, card_of).counts


def test_a_card_without_front_matter_is_all_words():
    found = diff(
        "demo", Snapshot("old", "# Demo\n\nOld words.\n"), Snapshot("new", "---\na: 1\n---\n# Demo\n\nNew words.\n")
    )
    assert [(row.what, row.verdict) for row in found.front_matter] == [("a", "added")]
    assert found.words[0].parts == (("removed", "Old "), ("added", "New "), ("same", "words."))


def beside(case, other):
    """The diff from another release to this one."""
    old = Snapshot("other", other.card(), other.evidence, other.lock, another=True)
    return diff("demo", old, Snapshot("now", case.card(), case.evidence, case.lock))


def test_what_a_person_wrote_of_what_changed_are_words_with_all_their_digits(demo):
    """Every other line with a digit could repeat a figure, where the old card cannot be rendered again."""
    noted = replace(demo, notes="# v2\n\nIt takes 27 GB less.\n\n- 3 bits in 30 layers\n")
    (words,) = beside(noted, demo).words
    assert (words.what, words.verdict) == ("What changed", "added")
    ((kind, text),) = words.parts
    assert kind == "added"
    assert "It takes 27 GB less.\n- 3 bits in 30 layers" in text


def test_why_a_rule_is_there_is_told_once_and_by_its_rule(demo):
    first, second, *others = demo.lock.rules
    rules = replace(first, why="It was thought to be small."), replace(second, match="gone$", why="Nobody knows.")
    other = demo.with_lock(rules=(*rules, *others))
    for found in (beside(demo, other), beside(other, demo)):
        told = sorted(words.what for words in found.words)
        assert told == sorted(f"why rule {match}" for match in (first.match, second.match, "gone$"))


def test_sizes_that_are_nearly_equal_do_not_look_alike(demo):
    sizes = [demo.with_lock(bytes=size, bits_per_weight=bits) for size, bits in ((100_010, 2.7299), (100_040, 2.7311))]
    old, new = (Snapshot("x", lock=one.lock) for one in sizes)
    (line,) = wording.tables(diff("demo", old, new))["Sizes"]
    assert (line.what, line.old, line.new) == ("all weights", "100.01 kB", "100.04 kB")
    assert line.change == "+0.030 %, 2.730 -> 2.731 bits per weight"
