"""A card's body for a page that has neither its images nor the files beside it, such as the summary of a workflow."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

from pipeline.card import front_matter

_LABEL = r"(?:\\.|[^\[\]\\`]|`[^`\n]*`|\[(?:\\.|[^\[\]\\])*\])*"
_TARGET = r"\((?:<(?P<angle>[^<>\n]*)>|(?P<bare>(?:\\.|[^\s()<>\\])*))(?:[ \t]+\"[^\"\n]*\")?\)"
# What is escaped and what is code comes first, since no image and no link begins in there.
_PIECE = rf"\\.|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)|%s\[(?P<label>{_LABEL})\]{_TARGET}"
_IMAGE = re.compile(_PIECE % "!", re.DOTALL)
_LINK = re.compile(_PIECE % "(?<!!)", re.DOTALL)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def body(card: str) -> str:
    """Without front matter; an image is the text that stands for it, a link to anything but an address its words."""
    text = front_matter.parse(card)[1].lstrip("\n")
    lines = text.split("\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for start, end in {(token.map[0], token.map[1]) for token in tokens if token.type == "inline" and token.map}:
        words = _LINK.sub(_linked, _IMAGE.sub(_shown, "\n".join(lines[start:end])))
        lines[start:end] = words.split("\n")
    return "\n".join(lines)


def _shown(found: re.Match[str]) -> str:
    return found[0] if found["label"] is None else f"Image: {found['label']}"


def _linked(found: re.Match[str]) -> str:
    label = found["label"]
    return found[0] if label is None or _ABSOLUTE.match(found["angle"] or found["bare"] or "") else str(label)
