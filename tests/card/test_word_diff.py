"""Texts word by word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.card.word_diff import ELLIPSIS, card_words, word_diff

texts = st.lists(st.sampled_from(["a", "b", "c", "dd", "\n", "é"]), max_size=8).map(" ".join)


@given(texts, texts)
def test_the_parts_give_both_texts(old, new):
    old, new = f"{old} old", f"{new} new"
    parts = word_diff(old, new)
    for text, kind in ((old, "removed"), (new, "added")):
        kept = "".join(f"{part} " for of, part in parts if of in {"same", kind})
        assert kept.split() == text.split()


def test_what_is_far_from_a_change_is_left_out():
    old = " ".join(f"word{number}" for number in range(100))
    first, removed, added, last = word_diff(f"{old} old {old}", f"{old} new {old}")
    assert (removed, added) == (("removed", "old "), ("added", "new "))
    assert first[1].startswith(ELLIPSIS)
    assert last[1].endswith(ELLIPSIS)
    assert len(first[1].split()) == len(last[1].split()) == 9


def test_a_book_is_compared_in_one_go():
    parts = word_diff("a b " * 100_000, "b c " * 100_000)
    assert parts[-1][1].endswith(ELLIPSIS)


def test_words_of_a_card_are_named_by_their_section():
    old = "# T\n\nS.\n\nV.\n\n## A\n\nx y\n\n|  a |\n|----|\n\n```yaml\nbits: 2\n```\n\n```sh\nrun it\n```\n"
    new = "# U\n\nT.\n\nW.\n\n## A\n\nx z\n\n| a |\n|---|\n\n```yaml\nbits: 3\n```\n\n```sh\nrun them\n```\n\n## B\n"
    found = [(words.what, words.verdict) for words in card_words(old, new)]
    assert found == [
        ("title", "changed"),
        ("summary", "changed"),
        ("opening", "changed"),
        ("A", "changed"),
        ("A", "changed"),
        ("B", "added"),
    ]


def test_markdown_is_shown_as_it_reads():
    (words,) = card_words("## A\n\nQ4\\_1 is \\*old\\*\n", "## A\n\nQ4\\_1 is new\n")
    assert words.parts == (("same", "Q4_1 is "), ("removed", "*old*"), ("added", "new"))


LONG = [f"line {number}" for number in range(3000)]


def test_the_last_line_of_a_long_card_is_compared_like_the_first():
    found = card_words("\n".join(LONG), "\n".join(["line zero", *LONG[1:-1], "the end"]))
    assert [words.verdict for words in found][-1] == "changed"
    assert "the rest" not in str(found)
    (only,) = card_words("\n".join(LONG), "\n".join([*LONG[:-1], "the end"]))
    assert [part for part in only.parts if part[0] == "added"] == [("added", "the end")]


def test_what_is_too_long_to_be_compared_is_said_to_differ():
    other = [f"row {number}" for number in range(2500)]
    assert card_words("\n".join(LONG), "\n".join(other))[-1].what == "after 1,000 lines"
