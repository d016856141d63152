"""Words of others in a Markdown page: they may say anything and do nothing.

Base repositories, release files and language models all write text that ends up on the card. Whatever is not `Markdown`
already becomes `plain` on its way in, so that forgetting to escape cannot happen.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from itertools import zip_longest
from typing import TYPE_CHECKING
from urllib.parse import quote as percent_quote

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 2000
"""Characters of one text; more than that is a mistake or an attack, and nobody reads it on a card."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

_JOINERS = {"\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}
_INVISIBLE = {"Cc", "Cf", "Cs", "Co"}
# Not the category of what is unassigned: that shrinks from one Python to the next, and with it the card would change.
_NONCHARACTERS = range(0xFDD0, 0xFDF0)
# An underscore inside a word, as in `x86_64`, is never emphasis.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|&(?=[#\w])")
# What would make a line a heading, a list item, a rule, or the line that underlines a heading or a table's head.
_BLOCK_START = re.compile(r"^(?:(?=#|=|:-|[-+](?:[-:\s]|$))|([0-9]{1,9})(?=[.)](?:\s|$)))")
_BARE_LINK = re.compile(r"(?<=[a-zA-Z])(?=://)|(?<=www)(?=\.)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\]*[^\s<>\"'`|\\.,;:!?)]")


class Markdown(str):
    """Text that is Markdown already: our own, or made harmless.

    What is computed from one (joined, formatted, cut) is an ordinary string again, and is escaped again.
    """

    __slots__ = ()


def visible(text: str, limit: int = LONGEST) -> str:
    """One line in which every character shows: line breaks become spaces, hidden and direction marks become U+FFFD."""
    line = " ".join(text[: 2 * limit].split())
    line = "".join(REPLACEMENT if _hides(character) else character for character in line)
    return line if len(line) <= limit and len(text) <= 2 * limit else line[:limit].rstrip() + ELLIPSIS


def plain(text: str) -> Markdown:
    """The text itself, shown character by character, anywhere in a line and in table cells."""
    return Markdown(_escaped(visible(text)))


def prose(text: str) -> Markdown:
    """Like `plain`, but web addresses are links; for what the author of a release file wrote."""
    line, parts, end = visible(text), [], 0
    for address in _ADDRESS.finditer(line):
        parts += [_escaped(line[end : address.start()]), f"<{address.group()}>"]
        end = address.end()
    return Markdown("".join([*parts, _escaped(line[end:])]))


def code(text: str) -> Markdown:
    """A code span, its fence longer than any run of backticks in it."""
    line = visible(text)
    if not line:
        return Markdown("")
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{fence}{space}{line}{space}{fence}")


def quote(text: str, limit: int = LONGEST, *, code_spans: bool = False) -> Markdown:
    """A block quote of several lines that keeps line breaks and indentation; a long text is cut between words.

    code_spans: what stands between two backticks of a line is code, as in messages of our own.
    """
    short = text.strip()
    if len(short) > limit:
        short = short[:limit].rsplit(maxsplit=1)[0].rstrip() + " " + ELLIPSIS
    lines = [_quoted_line(line, _with_code if code_spans else _escaped) for line in short.splitlines()]
    quoted = []
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        # A backslash at the end keeps the break between two lines of one paragraph.
        quoted.append(f"> {line}\\" if line and following else f"> {line}".rstrip())
    return Markdown("\n".join(quoted))


def link(label: str, address: str) -> Markdown:
    return Markdown(f"[{_escaped(visible(label))}]({percent_quote(address, safe='/:@?=&%+~-._')})")


def fenced(text: str, language: str = "") -> Markdown:
    """A block of lines as they are, its fence longer than any run of backticks in it."""
    lines = [
        "".join(REPLACEMENT if _hides(character) else character for character in line) for line in text.split("\n")
    ]
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markdown("\n".join([f"{fence}{language}", *lines, fence]))


def shell(text: str) -> Markdown:
    """One word of a command line, for use inside a fenced block only."""
    return Markdown(shlex.quote(visible(text)))


def python(text: str) -> Markdown:
    """A Python string literal, for use inside a fenced block only."""
    line = visible(text).replace("\\", "\\\\").replace('"', '\\"')
    return Markdown(f'"{line}"')


def _hides(character: str) -> bool:
    if ord(character) in _NONCHARACTERS or ord(character) & 0xFFFE == 0xFFFE:
        return True
    return unicodedata.category(character) in _INVISIBLE and character not in _JOINERS


def _escaped(line: str) -> str:
    line = _BARE_LINK.sub(r"\\", _SPECIAL.sub(r"\\\g<0>", line))
    return _BLOCK_START.sub(lambda match: f"{match[1] or ''}\\", line)


def _with_code(line: str) -> str:
    parts = re.split("`([^`]+)`", line)
    return "".join(code(part) if index % 2 else _escaped(part) for index, part in enumerate(parts))


def _quoted_line(line: str, written: Callable[[str], str]) -> str:
    indentation = len(line) - len(line.lstrip())
    return "\N{NO-BREAK SPACE}" * indentation + written(visible(line)) if line.strip() else ""
