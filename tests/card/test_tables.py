from __future__ import annotations

import html
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.card.escape import code
from pipeline.card.tables import table, width

RENDERER = MarkdownIt("gfm-like", {"linkify": False})


def test_columns_line_up_in_plain_text():
    text = table(["Class", "Parameters"], [["embeddings", "28,311,552"], ["norms", "576"], ["日本", "1"]], "lr")
    assert text.splitlines() == [
        "| Class      | Parameters |",
        "|:-----------|-----------:|",
        "| embeddings | 28,311,552 |",
        "| norms      |        576 |",
        "| 日本       |          1 |",
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=20), min_size=2, max_size=2)))
def test_no_cell_breaks_out_of_its_row(rows):
    rendered = RENDERER.render(table(["a", "b"], rows))
    assert rendered.count("<tr>") == len(rows) + 1
    assert rendered.count("<td") == 2 * len(rows)
    assert set(re.findall(r"</?(\w+)", rendered)) <= {"table", "thead", "tbody", "tr", "th", "td"}


def test_code_in_a_cell_shows_its_pipes():
    rendered = RENDERER.render(table(["match"], [[code(r"mlp\.(gate|up)_proj")]]))
    assert re.findall("<code>(.*)</code>", rendered) == [r"mlp\.(gate|up)_proj"]


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab|\\*", max_size=10))
def test_a_plain_cell_shows_itself(text):
    rendered = RENDERER.render(table(["x"], [[text]]))
    (shown,) = re.findall(r"<td[^>]*>(.*)</td>", rendered)
    assert html.unescape(shown) == text


def test_width_counts_terminal_columns():
    assert width("é") == 1
    assert width("e\N{COMBINING ACUTE ACCENT}") == 1
    assert width("模型") == 4
