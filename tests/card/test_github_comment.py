"""The comment on a pull request: what GitHub would show of it, whatever was written into the release."""

from __future__ import annotations

import re
from dataclasses import replace

import card_changes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.card.changes import Change, Diff, Words
from pipeline.card.github_comment import LIMIT, comment, marker

RENDERER = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def rendered(text):
    return RENDERER.render(text)


def test_it_begins_with_the_line_by_which_it_is_found_again(measured):
    shown = comment(card_changes.compared(measured, measured))
    assert shown.splitlines()[0] == marker("demo") == "<!-- pipeline card diff of demo -->"
    assert "demo: nothing changed" in shown
    assert "--" not in marker("a-->b").removeprefix("<!--").removesuffix("-->")


def test_hostile_words_are_text(measured):
    html = rendered(comment(card_changes.named(measured, "hostile")))
    tags = set(re.findall(r"<(/?[a-z0-9]+)", html))
    assert not tags & {"script", "img", "h1", "a"}
    assert (html.count("<details>"), html.count("</details>")) == (1, 1)
    outside = re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)
    assert not re.search(r"@\w|#\d|GH-\d", outside), "nobody is called and no issue is linked"
    assert "</details>" in re.findall(r"<pre>.*?</pre>", html, re.DOTALL)[0].replace("&lt;", "<").replace("&gt;", ">")
    assert not re.search("[\x1b\N{RIGHT-TO-LEFT OVERRIDE}]", html)


def test_much_that_changed_fits_and_the_worst_is_kept(measured):
    better = [Change(f"figure {n}", "better", 1.0, 2.0, "nats", relative=1.0) for n in range(3000)]
    facts = [Change("the worst", "REMOVED", "x" * 100), Change("a fact", "changed", "ä" * 5000, "ö" * 5000)]
    words = [
        Words(f"section {n}", "changed", (("removed", "old " * 2000), ("added", "new " * 2000))) for n in range(40)
    ]
    unified = "\n".join(f"+a line of the card {n}" for n in range(9000))
    diff = Diff("demo", "HEAD", "now", tuple(better), facts=tuple(facts), words=tuple(words), unified=unified)
    shown = comment(diff)
    assert len(shown) <= LIMIT
    assert len(shown) > LIMIT * 0.9, "and what fits is shown"
    assert "| **REMOVED** | the worst |" in shown
    assert re.search(r"[\d,]+ more are left out here", shown)
    assert "left out: a comment holds no more." in shown
    assert rendered(shown).count("<details>") == rendered(shown).count("</details>")


def test_a_long_card_is_cut_at_the_end_of_a_line():
    unified = "\n".join(f"+line {n} ```` of the card" for n in range(9000))
    shown = comment(Diff("demo", "HEAD", "now", unified=unified))
    assert len(shown) <= LIMIT
    html = rendered(shown)
    assert "The rest of the diff is left out: a comment holds no more." in html
    assert html.count("<pre>") == html.count("</details>") == 1
    assert re.findall(r"\+line \d+ ```` of the card\n", html)[-1] in html.partition("</code>")[0][-40:]


texts = st.text(st.sampled_from("`<>/|*_@#\\~[]()!&-+ \n\tdetails0aé\x1b\N{RIGHT-TO-LEFT OVERRIDE}")) | st.text()


@given(texts, texts, texts)
def test_no_text_breaks_out(what, value, line):
    diff = Diff(
        "demo", value, what,
        figures=(Change(what, "worse", value, line),),
        words=(Words(value, "changed", (("removed", line), ("same", what), ("added", value))),),
        unified=f"+{line}\n {value}\n ```\n-{what}\n",
        remarks=(value,),
    )  # fmt: skip
    html = rendered(comment(diff))
    assert set(re.findall(r"<(/?[a-zA-Z0-9]+)", html)) <= {
        f"{end}{tag}"
        for end in ("", "/")
        for tag in (
            "h3", "h4", "p", "table", "thead", "tbody", "tr", "th", "td", "strong", "ul", "li", "del", "ins", "details",
            "summary", "pre", "code",
        )
    }  # fmt: skip
    for tag in ("details", "pre", "table", "ul"):
        assert html.count(f"<{tag}>") == html.count(f"</{tag}>") == 1


@pytest.mark.parametrize("case", ["worse", "recipe"])
def test_the_text_of_the_card_is_folded_away(case, measured):
    shown = comment(card_changes.named(measured, case))
    above, _, below = shown.partition("<details>")
    assert "```diff" in below
    assert "@@" not in above
    assert len(above) < 1500


def test_without_a_card_there_is_nothing_to_fold(measured):
    diff = replace(card_changes.named(measured, "worse"), unified="")
    assert "<details>" not in comment(diff)
