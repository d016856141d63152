"""A card's Markdown as HTML in which nothing runs, nothing is fetched, and no tag is the card's own but `<details>`."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, cast

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

_SUMMARY = re.compile(r"<summary>(.*)</summary>")
_OPEN = "open details"


@dataclass(frozen=True)
class Section:
    """What stands under one heading of the second rank; the first section has none and begins the card."""

    heading: str
    blocks: tuple[str, ...]


def sections(body: str, assets: Mapping[str, bytes]) -> tuple[Section, ...]:
    """assets: the images that may be shown, by their path; of others only the text that stands for them."""
    tokens = _MARKDOWN.parse(body, env := {"assets": assets})
    _align_by_class(tokens)
    found: list[tuple[str, list[str]]] = [("", [])]
    for block in _blocks(tokens):
        if block[0].type == "heading_open" and block[0].tag == "h2":
            found.append((block[1].content, []))
        found[-1][1].append(_MARKDOWN.renderer.render(block, _MARKDOWN.options, env))
    return tuple(Section(heading, tuple(blocks)) for heading, blocks in found)


def _blocks(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """Runs of tokens that open and close at the top."""
    runs, start, depth = [], 0, 0
    for index, token in enumerate(tokens):
        depth += token.nesting
        if depth == 0:
            runs.append(tokens[start : index + 1])
            start = index + 1
    return runs


def _align_by_class(tokens: Sequence[Token]) -> None:
    """Styles written at a tag are not among those that the page allows itself."""
    for token in tokens:
        style = str(token.attrs.pop("style", ""))
        if style.endswith("right"):
            token.attrJoin("class", "right")


def _details(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """`<details>`, its summary and its end, each on a line of its own, at the top only and only in pairs."""
    line = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]].strip()
    depth = cast("int", state.env.get(_OPEN, 0))
    summary = _SUMMARY.fullmatch(line)
    if state.level != depth or not (line == "<details>" or (depth and (summary or line == "</details>"))):
        return False
    if silent:
        return True
    if summary:
        state.push("summary_open", "summary", 1)
        inline = state.push("inline", "", 0)
        inline.content, inline.map, inline.children = summary[1], [start, start + 1], []
        state.push("summary_close", "summary", -1)
    elif line == "<details>":
        state.push("details_open", "details", 1).block = True
        state.env[_OPEN] = depth + 1
    else:
        state.push("details_close", "details", -1).block = True
        state.env[_OPEN] = depth - 1
    state.line = start + 1
    return True


def _closed(state: object) -> None:
    """What the card left open ends with it."""
    env, tokens = cast("dict[str, object]", state.env), cast("list[Token]", state.tokens)  # type: ignore[attr-defined]
    from markdown_it.token import Token

    for _ in range(cast("int", env.get(_OPEN, 0))):
        tokens.append(Token("details_close", "details", -1, block=True))


def _image(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    words = renderer.renderInlineAsText(token.children or [], options, env)
    raw = cast("Mapping[str, bytes]", env["assets"]).get(str(token.attrs.get("src", "")))
    if raw is None:
        return f'<span class="absent">Image: {escape(words)}</span>'
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(raw).decode()}">'


def _link(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, index, options, env)


def _table(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Wide tables are moved sideways by themselves, and not the page."""
    tag = renderer.renderToken(tokens, index, options, env)
    return f'<div class="wide">{tag}' if tokens[index].nesting == 1 else f"{tag}</div>\n"


def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    made.block.ruler.before("paragraph", "details", _details, {"alt": ["paragraph", "list", "blockquote"]})
    made.core.ruler.after("block", "details_closed", _closed)
    made.add_render_rule("image", _image)
    made.add_render_rule("link_open", _link)
    for rule in ("table_open", "table_close"):
        made.add_render_rule(rule, _table)
    return made


_MARKDOWN = _markdown()
