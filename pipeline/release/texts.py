"""The text that a file holds, as one document: the whole file, or what stands in every line of a `.jsonl` file."""

from __future__ import annotations

import json
from typing import NamedTuple

from pipeline.release.places import Place, Problem, shown

_SHOWN = 5


class HubFile(NamedTuple):
    """A file of a dataset repository at a commit."""

    repo: str
    revision: str
    file: str


def text_of(content: bytes, name: str, field: str | None, problems: list[Problem]) -> str:
    """The text of a file in UTF-8, with plain line ends.

    field: the key of the text in each line of a `.jsonl` file, which are joined by an empty line; None for a file that
    is a single text. What is wrong with the file is added to `problems`, at most five times.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = len(content[content.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        what = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        problems.append(Problem(Place(name, line, column), what))
        return ""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if field is not None:
        text = _joined(text, name, field, problems)
    elif not text.strip():
        problems.append(Problem(Place(name), "holds no text"))
    return text


def _joined(text: str, name: str, field: str, problems: list[Problem]) -> str:
    found: list[Problem] = []
    texts: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            one = _text_in(line, field, Place(name, number, 1, "", line))
            if isinstance(one, Problem):
                found.append(one)
            else:
                texts.append(one)
    if not texts and not found:
        found.append(Problem(Place(name), "holds no line"))
    problems += found[:_SHOWN]
    if len(found) > _SHOWN:
        problems.append(Problem(found[_SHOWN].place, f"and {len(found) - _SHOWN} more lines are wrong, from here on"))
    return "\n\n".join(texts)


def _text_in(line: str, field: str, place: Place) -> str | Problem:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return Problem(Place(place.file, place.line, error.colno, "", line), f"is not JSON: {error.msg}")
    except RecursionError:
        return Problem(place, "is nested too deeply")
    if not isinstance(value, dict):
        return Problem(place, f"must be a JSON object with the key `{field}`, not {shown(value)}")
    if field not in value:
        known = ", ".join(f"`{key}`" for key in value) or "no key"
        return Problem(place, f"has no key `{field}`, but {known}; name another with `evaluate.text.field`")
    text = value[field]
    return text if isinstance(text, str) else Problem(place, f"its `{field}` must be text, not {shown(text)}")
