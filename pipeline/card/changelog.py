"""What changed from release to release, as a person wrote it in notes.md, on a card."""

from __future__ import annotations

import re

from pipeline.card.escape import Markdown, prose

SECTION = "What changed"
"""The section of a card that it stands in."""

_HEADING = re.compile(r"#{1,6}\s+(?P<text>.+)")
_ITEM = re.compile(r"\s*[-*+]\s+(?P<text>.+)")


def changelog(notes: str) -> Markdown:
    """Headings, paragraphs and lists of one level; everything else is shown as the text that it is.

    Headings come out bold, because the card has an outline of its own.
    """
    blocks: list[str] = []
    previous = ""
    for line in notes.splitlines():
        if heading := _HEADING.fullmatch(line.strip()):
            blocks.append(f"\n**{prose(heading['text'])}**\n")
        elif item := _ITEM.fullmatch(line):
            blocks.append(f"- {prose(item['text'])}")
        elif not line.strip():
            blocks.append("")
        elif line.startswith("  ") and previous.startswith("- "):
            blocks[-1] = previous = f"{previous} {prose(line.strip())}"
            continue
        else:
            blocks.append(prose(line.strip()))
        previous = blocks[-1]
    return Markdown(re.sub(r"\n{3,}", "\n\n", "\n".join(blocks)).strip("\n"))
