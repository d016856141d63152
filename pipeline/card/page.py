"""A diff as a page of its own: what changed on top, below it the old and the new card side by side."""

from __future__ import annotations

import base64
import hashlib
import re
from difflib import SequenceMatcher
from html import escape
from typing import TYPE_CHECKING

from pipeline.card import front_matter, wording
from pipeline.card.card_html import Section, sections
from pipeline.card.escape import visible
from pipeline.card.leaves import leaves
from pipeline.card.templates import shipped_folder
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.card.changes import Diff, Verdict, Words
    from pipeline.card.snapshot import Snapshot
    from pipeline.card.wording import Line
    from pipeline.manifest import Json

STYLE = "page.css"

_TABLE = '<div class="wide"><table>'
_ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
_MARKED_ROW = '<tr class="mark">'
_MARK = '<div class="mark">\n{}</div>\n'
_TAGS = {"same": ("", ""), "removed": ("<del>", "</del>"), "added": ("<ins>", "</ins>")}


def page(diff: Diff, old: Snapshot, new: Snapshot) -> str:
    """One HTML file that fetches nothing and runs nothing: its policy allows its own style and images within it."""
    style = (shipped_folder() / STYLE).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    title = _text(f"What changed of {diff.name}")
    places = f"From <b>{_text(diff.old)}</b> to <b>{_text(diff.new)}</b>."
    parts = [
        f"<header>\n<h1>{_text(wording.headline(diff))}</h1>\n<p>{places}</p>\n",
        *(f'<p class="remark">{_text(remark)}</p>\n' for remark in wording.remarks(diff)),
        "</header>\n",
        *(_table(heading, lines) for heading, lines in wording.tables(diff).items()),
        _words(diff.words),
        _cards(old, new),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n{''.join(parts)}</body>\n</html>\n"
    )


def _table(heading: str, lines: Sequence[Line]) -> str:
    rows = "".join(
        f'<tr>{_badge(line.verdict)}<th scope="row">{_text(line.what)}</th><td>{_text(line.old)}</td>'
        f"<td>{_text(line.new)}</td><td>{_text(line.change)}</td></tr>\n"
        for line in lines
    )
    head = "<tr><th></th><th>What</th><th>Old</th><th>New</th><th>Change</th></tr>"
    return (
        f'<section class="changes">\n<h2>{_text(heading)}</h2>\n<div class="wide"><table>\n<thead>{head}</thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )


def _badge(verdict: Verdict) -> str:
    return f'<td><span class="badge {verdict.replace(" ", "-").lower()}">{verdict}</span></td>'


def _words(words: Sequence[Words]) -> str:
    if not words:
        return ""
    items = "".join(f"<dt>{_text(one.what)}</dt>\n<dd>{''.join(_parts(one))}</dd>\n" for one in words)
    return f'<section class="changes">\n<h2>Words</h2>\n<dl class="words">\n{items}</dl>\n</section>\n'


def _parts(words: Words) -> Iterator[str]:
    for kind, text in words.parts:
        opening, closing = _TAGS[kind]
        yield f"{opening}{_text(text, len(text))}{closing}{' ' if text[-1:].isspace() else ''}"


def _cards(old: Snapshot, new: Snapshot) -> str:
    """Section beside section, so that what belongs together stands at one height."""
    (fields, body), (others, other) = (_opened(side) for side in (old, new))
    pairs = _paired(sections(body, old.assets), sections(other, new.assets))
    labels = {"Old": old.label, "New": new.label}
    head = "".join(f'<div class="side"><h2>{side}: {_text(label)}</h2></div>' for side, label in labels.items())
    rows = [_row(_fields(fields, others), _fields(others, fields), same=fields == others)]
    rows += [_row(*_marked(one, two), same=one == two) for one, two in pairs]
    return f'<main class="cards">\n<div class="row heads">{head}</div>\n{"".join(rows)}</main>\n'


def _row(old: str, new: str, *, same: bool) -> str:
    kind = "row same" if same else "row other"
    sides = (f'<div class="side {name}">\n{text}</div>' for name, text in (("old", old), ("new", new)))
    return f'<div class="{kind}">{"".join(sides)}</div>\n'


def _opened(side: Snapshot) -> tuple[dict[str, Json], str]:
    if side.card is None:
        return {}, "*There is no card.*\n"
    try:
        return front_matter.parse(side.card)
    except PipelineError:
        return {}, side.card


def _fields(fields: Mapping[str, Json], others: Mapping[str, Json]) -> str:
    """Front matter as a table, the values marked that the other side has not."""
    found, theirs = leaves(dict(fields)), leaves(dict(others))
    if not found:
        return ""
    marks = {path: "" if value == theirs.get(path) else ' class="mark"' for path, value in found.items()}
    rows = "".join(
        f'<tr{marks[path]}><th scope="row">{_key(path)}</th><td>{_text(wording.plain(value))}</td></tr>\n'
        for path, value in found.items()
    )
    kind = "<details>" if found == theirs else "<details open>"
    summary = f"<summary>Front matter, {len(found)} values</summary>"
    return f'{kind}\n{summary}\n<table class="fields">\n{rows}</table>\n</details>\n'


def _paired(old: Sequence[Section], new: Sequence[Section]) -> Iterator[tuple[Section | None, Section | None]]:
    """By heading, in an order that is that of both sides."""
    headings, others = ([section.heading for section in side] for side in (old, new))
    for kind, start, end, other, stop in SequenceMatcher(None, headings, others).get_opcodes():
        if kind == "equal":
            yield from zip(old[start:end], new[other:stop], strict=True)
        else:
            yield from ((section, None) for section in old[start:end])
            yield from ((None, section) for section in new[other:stop])


def _marked(old: Section | None, new: Section | None) -> tuple[str, str]:
    """Both as HTML, with the blocks marked that the other has not."""
    before, after = (list(side.blocks) if side else [] for side in (old, new))
    sides: tuple[list[str], list[str]] = ([], [])
    for kind, start, end, other, stop in SequenceMatcher(None, before, after).get_opcodes():
        here, there = before[start:end], after[other:stop]
        if kind == "equal":
            marked = here, there
        elif len(here) == len(there):
            marked = list(map(_block_marked, here, there)), list(map(_block_marked, there, here))
        else:
            marked = [_MARK.format(block) for block in here], [_MARK.format(block) for block in there]
        for side, blocks in zip(sides, marked, strict=True):
            side.extend(blocks)
    return "".join(sides[0]), "".join(sides[1])


def _block_marked(block: str, other: str) -> str:
    """The whole, or of a table only the rows that the other has not."""
    if not (block.startswith(_TABLE) and other.startswith(_TABLE)):
        return _MARK.format(block)
    theirs = set(_ROW.findall(other))
    return _ROW.sub(lambda row: row[0] if row[0] in theirs else row[0].replace("<tr>", _MARKED_ROW, 1), block)


def _key(path: str) -> str:
    """Long names break behind their dots."""
    return _text(path).replace(".", ".<wbr>")


def _text(text: str, limit: int = 2000) -> str:
    return escape(visible(text, max(limit, 1)))
