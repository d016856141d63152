"""The body of a card where it has neither its images nor its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.card.body import body

ROOT = Path(__file__).parents[2]
CARDS = sorted((ROOT / "releases").glob("*/README.md"))


def said(text):
    return body(f"---\nlicense: mit\n---\n\n{text}")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("![Size, by *class*.](assets/a.png)", "Image: Size, by *class*."),
        (r"![2 \[GB\] and [3]](<assets/a b.png>)", r"Image: 2 \[GB\] and [3]"),
        ("See [LICENSE](LICENSE), or [`v2`](../v2).", "See LICENSE, or `v2`."),
        ('[up](#top) and [down](notes.md "Notes")', "up and down"),
        ("[![A plot](a.png)](a.png)", "Image: A plot"),
        ("[![A plot](a.png)](https://example.org/)", "[Image: A plot](https://example.org/)"),
        ("| a |\n|---|\n| [b](c) |", "| a |\n|---|\n| b |"),
    ],
)
def test_what_is_not_there_is_said_in_words(written, shown):
    assert said(written) == shown


@pytest.mark.parametrize(
    "written",
    [
        "[the Hub](https://huggingface.co), <https://example.org> and [you](mailto:you@example.org)",
        r"\[LICENSE](LICENSE)",
        r"!\[LICENSE\](LICENSE)",
        "`[a](b)` and ``![a](`b)``",
        "```python\n![a](b)\nmodels[0](x)\n```",
        "    ![a](b)",
        "# Title\n\n<details>\n<summary>More</summary>\n\n- one\n</details>\n",
    ],
)
def test_all_else_stays_as_it_is(written):
    assert said(written) == written


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_of_the_cards_here_nothing_but_addresses_is_linked(path):
    text = body(path.read_text())
    assert text.startswith("# ")
    assert "![" not in text
    assert all(target.startswith("https://") for target in re.findall(r"\]\(([^)]*)\)", text))
    assert "Image: " in text or "![" not in path.read_text()
