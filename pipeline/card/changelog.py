"""What changed from release to release, as a person wrote it in notes.md, on a card."""

from __future__ import annotations

import re

from pipeline.card.escape import Markdown, code, prose

SECTION = "What changed"
"""The section of a card that it stands in."""

_HEADING = re.compile(r"#{1,6}\s+(?P<text>.+)")
_ITEM = re.compile(r"\s*[-*+]\s+(?P<text>.+)")


def changelog(notes: str) -> Markdown:
    """Headings, paragraphs, lists of one level and code in backticks; everything else is shown as the text that it is.

    Headings come out bold, because the card has an outline of its own.
    """
    blocks: list[str] = []
    previous = ""
    for line in notes.splitlines():
        if heading := _HEADING.fullmatch(line.strip()):
            blocks.append(f"\n**{_text(heading['text'])}**\n")
        elif item := _ITEM.fullmatch(line):
            blocks.append(f"- {_text(item['text'])}")
        elif not line.strip():
            blocks.append("")
        elif line.startswith("  ") and previous.startswith("- "):
            blocks[-1] = previous = f"{previous} {_text(line.strip())}"
            continue
        else:
            blocks.append(_text(line.strip()))
        previous = blocks[-1]
    return Markdown(re.sub(r"\n{3,}", "\n\n", "\n".join(blocks)).strip("\n"))


def _text(line: str) -> str:
    parts = line.split("`")
    if len(parts) % 2 == 0:  # one of them has no partner
        return prose(line)
    return "".join(code(part) if index % 2 else _spaced(part) for index, part in enumerate(parts))


def _spaced(part: str) -> str:
    """Between two spans of code, with the blanks at its ends that `prose` takes away."""
    before, after = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
    return f"{before and ' '}{prose(part)}{after and ' '}" if part.strip() else part and " "
