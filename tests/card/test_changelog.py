from __future__ import annotations

from pipeline.card.changelog import changelog

NOTES = """\
# v2

Fewer bits for the experts,
and more for attention.

- `down_proj` in 3 bits:
  see https://example.org/why
- <b>bold</b> and {{ 7 * 7 }}

## v1
First.
"""


def test_headings_paragraphs_and_items_come_through_and_nothing_else_does():
    assert changelog(NOTES).split("\n") == [
        "**v2**",
        "",
        "Fewer bits for the experts,",
        "and more for attention.",
        "",
        "- `down_proj` in 3 bits: see <https://example.org/why>",
        r"- \<b\>bold\</b\> and {{ 7 * 7 }}".replace("*", r"\*"),
        "",
        "**v1**",
        "",
        "First.",
    ]


def test_without_notes_there_is_no_such_part(demo):
    from dataclasses import replace

    assert "## What changed" not in demo.card()
    assert "## What changed\n\n**v2**\n" in replace(demo, notes=NOTES).card()
