"""The warning on a withdrawn card: at the top, once, whoever wrote the reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.card.front_matter import parse
from pipeline.card.withdrawal import mark

FRONT = '---\nlicense: mit\ntags:\n- mlx\nbase_model: "a/b"\n---\n'
CARD = f"{FRONT}\n# Model\n\nWords.\n"


def test_the_warning_stands_between_front_matter_and_words():
    marked = mark(CARD, "v1", "The template is wrong; use v2", present=True)
    assert marked == (
        f"{FRONT}\n<!-- withdrawn: v1 -->\n> [!WARNING]\n"
        "> **This release, `v1`, has been withdrawn.** The template is wrong; use v2.\n>\n"
        "> Its files stay where they are, for those who rely on them by commit; the tag is gone.\n"
        "<!-- end of withdrawn: v1 -->\n\n# Model\n\nWords.\n"
    )


def test_marking_twice_is_marking_once_and_another_reason_takes_the_place_of_the_first():
    once = mark(CARD, "v1", "one", present=True)
    assert mark(once, "v1", "one", present=True) == once
    assert mark(once, "v1", "two", present=True) == mark(CARD, "v1", "two", present=True)


def test_the_card_of_a_later_release_says_which_one_it_was():
    both = mark(mark(CARD, "v1", "one", present=False), "v2", "two", present=True)
    assert "An earlier release of this model, `v1`, has been withdrawn.** one." in both
    assert both.index("`v2`") < both.index("`v1`") < both.index("# Model")
    assert mark(both, "v1", "one", present=False).count("withdrawn: v1 -->") == 2


@pytest.mark.parametrize("card", ["# No front matter\n", ""])
def test_a_card_without_front_matter_is_marked_too(card):
    marked = mark(card, "v1", "why", present=True)
    assert marked.startswith("<!-- withdrawn: v1 -->\n> [!WARNING]")
    assert marked.endswith(card)
    assert mark(marked, "v1", "why", present=True) == marked


@given(st.text())
def test_no_reason_leaves_its_line_or_touches_the_front_matter(reason):
    marked = mark(CARD, "v1", reason, present=True)
    assert parse(marked)[0] == parse(CARD)[0]
    assert marked.startswith(FRONT)
    assert len(marked.splitlines()) == len(CARD.splitlines()) + 7
    assert marked.endswith("\n# Model\n\nWords.\n")
    assert mark(marked, "v1", reason, present=True) == marked


def test_a_reason_is_text_and_its_addresses_are_links():
    marked = mark(CARD, "v1", "<script>x</script> --> **bold** see https://example.org/1", present=True)
    assert r"\<script\>x\</script\> --\> \*\*bold\*\* see <https://example.org/1>" in marked
