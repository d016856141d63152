from __future__ import annotations

import ast
import html
import re
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.card import escape
from pipeline.card.escape import Markdown

RENDERER = MarkdownIt("gfm-like", {"linkify": False})

HOSTILE = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "**bold** _italic_ ~~gone~~ `code`",
    "# heading",
    "- item",
    "+ item",
    "1. item",
    "7) item",
    "---",
    "===",
    "> quoted",
    "a\n\n# b\n\n---\nc",
    "&lt;b&gt; &copy; &#60;",
    "<!-- hidden",
    "$$x$$ \\(y\\)",
    "<details><summary>x",
    "``` python",
    "| a | b |\n|---|---|",
    "\\",
    "ends in a backslash \\",
    "{{ 7*7 }} {% for x in y %}",
]


def shown(markdown: str) -> str:
    """The text a reader sees."""
    return html.unescape(re.sub(r"<[^>]*>", "", RENDERER.render(markdown))).strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_text_shows_itself_and_makes_no_markup(text):
    rendered = RENDERER.render(escape.plain(text))
    assert re.fullmatch(r"<p>[^<>]*</p>\n", rendered)
    assert shown(escape.plain(text)) == " ".join(text.split())


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_shows_itself(text):
    expected = escape.visible(text)
    rendered = RENDERER.render(escape.plain(text))
    assert html.unescape(rendered.removeprefix("<p>").removesuffix("</p>\n")) == expected
    assert "<" not in rendered.removeprefix("<p>").removesuffix("</p>\n")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("`a |\\<*\n"), max_size=12))
def test_code_holds_any_text(text):
    expected = escape.visible(text)
    rendered = RENDERER.render(f"x {escape.code(text)} y")
    if expected:
        (inside,) = re.findall(r"<p>x <code>(.*)</code> y</p>", rendered)
        assert html.unescape(inside) == expected
    else:
        assert "<code>" not in rendered


def test_hidden_and_direction_marks_become_visible():
    assert escape.plain("gnp\N{RIGHT-TO-LEFT OVERRIDE}.exe\N{ZERO WIDTH SPACE}\0") == "gnp�.exe��"
    assert escape.code("a\N{RIGHT-TO-LEFT MARK}b") == "`a�b`"
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"
    assert escape.plain(family) == family


def test_a_huge_text_is_cut():
    assert len(escape.plain("x" * 10_000_000)) == escape.LONGEST + 1
    assert len(escape.plain("\n" * 10_000_000)) <= escape.LONGEST + 1


def test_bare_addresses_become_links_in_prose_only():
    text = "See https://example.org/a_b, or www.example.org."
    assert '<a href="https://example.org/a_b">' in RENDERER.render(escape.prose(text))
    assert escape.prose(text).endswith(r", or www\.example.org.")
    assert "<a" not in RENDERER.render(escape.plain(text))
    assert "<a" not in RENDERER.render(escape.prose("javascript:alert(1) <javascript:alert(1)>"))


def test_prose_cannot_break_out_of_its_link():
    rendered = RENDERER.render(escape.prose('https://a.example/"><script>x</script>'))
    assert "<script" not in rendered


def test_a_quote_keeps_lines_and_indentation_and_nothing_else():
    quoted = escape.quote("Sure:\n\n```python\ndef f():\n    return 1\n```\n# not a heading\n<script>")
    assert quoted.splitlines() == [
        "> Sure:",
        ">",
        r"> \`\`\`python" + "\\",
        "> def f():\\",
        "> \N{NO-BREAK SPACE}\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}return 1\\",
        r"> \`\`\`" + "\\",
        r"> \# not a heading" + "\\",
        r"> \<script\>",
    ]
    rendered = RENDERER.render(quoted)
    assert rendered.count("<br />") == 5
    assert "<h1>" not in rendered
    assert "<code>" not in rendered


def test_a_quote_of_nothing_is_nothing():
    assert escape.quote(" \n") == ""


def test_a_long_quote_ends_between_words():
    assert escape.quote("one two three four", 11) == "> one two …"


def test_what_is_computed_from_markdown_is_ordinary_text_again():
    assert isinstance(escape.code("x"), Markdown)
    assert not isinstance(escape.code("x") + "<b>", Markdown)
    assert not isinstance(f"{escape.code('x')}<b>", Markdown)


def test_words_of_a_command_stay_one_word_on_one_line():
    text = "a'; rm -rf ~ #\n```\n$(x)"
    assert shlex.split(escape.shell(text)) == [" ".join(text.split())]
    assert ast.literal_eval(escape.python('a"b\\\n```')) == 'a"b\\ ```'


def test_links_keep_their_brackets():
    rendered = RENDERER.render(escape.link("a](https://evil.example)", "https://example.org/a b)c"))
    assert rendered.count("<a ") == 1
    assert 'href="https://example.org/a%20b%29c"' in rendered
