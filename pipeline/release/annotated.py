"""YAML as a person would have written it, with a comment above whatever needs one."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from pipeline.release.draft import scalar, written_text
from pipeline.release.places import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.manifest import Json
    from pipeline.release.places import KeyPath

_WIDTH = 118
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9.-]*")
_AMOUNT = re.compile(r"\d+(\.\d+)? (%|[A-Za-z]+)|\d+k")


def write(keys: Mapping[str, Json], comments: Mapping[str, str]) -> str:
    """The file; `comments` by dotted path, such as `base.revision`, and "" for the top, paragraphs apart by a newline.

    Keys with keys of their own are set apart by empty lines, as are those with a comment.
    """
    lines = [*_comment(comments.get("", ""), ""), *([""] if "" in comments else [])]
    for key, value in keys.items():
        apart = isinstance(value, dict) or key in comments
        if apart and lines and lines[-1]:
            lines.append("")
        lines += _entry(key, value, (), comments)
        lines += [""] if apart else []
    return "\n".join(lines).rstrip("\n") + "\n"


def _entry(key: str, value: Json, above: KeyPath, comments: Mapping[str, str]) -> Iterator[str]:
    path, indent = (*above, key), "  " * len(above)
    yield from _comment(comments.get(dotted(path), ""), indent)
    match value:
        case dict():
            yield f"{indent}{key}:"
            for inner, item in value.items():
                yield from _entry(inner, item, path, comments)
        case list() if all(isinstance(item, str) and _WORD.fullmatch(item) and _plain(item) == item for item in value):
            yield f"{indent}{key}: [{', '.join(map(str, value))}]"
        case list():
            yield f"{indent}{key}:"
            for item in value:
                yield from _item(item, f"{indent}  ")
        case str() if not _AMOUNT.fullmatch(value):
            yield from written_text(key, value, indent)
        case _:
            yield f"{indent}{key}: {_plain(value)}"


def _item(value: Json, indent: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{indent}- {_plain(value)}"
        return
    for number, (key, item) in enumerate(value.items()):
        yield f"{indent}{'  ' if number else '- '}{key}: {_plain(item)}"


def _plain(value: Json) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return value if _AMOUNT.fullmatch(value) else scalar(value)
        case int() | float():
            return str(value)
    raise TypeError(value)


def _comment(text: str, indent: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n") if text else []):
        yield from ([f"{indent}#"] if number else [])
        width = _WIDTH - len(indent) - 2
        wrapped = textwrap.wrap(paragraph, width, break_long_words=False, break_on_hyphens=False)
        yield from (f"{indent}# {line}" for line in wrapped)
