"""The front matter of a card that nobody vouches for, as plain texts: bounded, and nothing in it is constructed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Texts: TypeAlias = "str | tuple[str, ...]"

LONGEST = 1 << 16
"""Bytes of a card that are read: front matter has to end within them."""

FRONT_MATTER = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_BEGIN = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n")
_MOST_EVENTS = 20_000
_DEEPEST = 32
_NOTHING = {"", "~", "null", "Null", "NULL"}


class _Refused(Exception):
    """The whole block means nothing; the message says why."""


def texts(card: str, keys: Collection[str]) -> tuple[dict[str, Texts], tuple[str, ...]]:
    """What the front matter says of `keys`, as a text or a list of texts, and what it says that is neither.

    The latter are sentences that quote nothing of the card. A key without a value is as one that is missing.
    """
    found = FRONT_MATTER.match(card[:LONGEST])
    if found is None:
        begun = _BEGIN.match(card[:LONGEST])
        return {}, (f"its front matter does not end within {LONGEST >> 10} KiB",) if begun else ()
    taken: dict[str, Texts] = {}
    seen: set[str] = set()
    refused: list[str] = []
    try:
        for key, value in _entries(_events(found.group(1))):
            if key not in keys:
                continue
            if key in seen:
                taken.pop(key, None)
                refused.append(f"`{key}` stands twice")
            elif value is None:
                refused.append(f"`{key}` is neither a text nor a list of texts")
            elif value:
                taken[key] = value
            seen.add(key)
    except _Refused as why:
        return {}, (f"its front matter {why}",)
    except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML's own, and those of `chr` behind an escape
        return {}, ("its front matter is not valid YAML",)
    return taken, tuple(dict.fromkeys(refused))


def _events(block: str) -> Iterator[yaml.Event]:
    for count, event in enumerate(yaml.parse(block, Loader=yaml.SafeLoader)):
        if count > _MOST_EVENTS:
            raise _Refused("has too many values")
        yield event


def _entries(events: Iterator[yaml.Event]) -> Iterator[tuple[str, Texts | None]]:
    """Every key of the mapping with its value; None for one that is neither a text nor a list of texts."""
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            break
        if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent | yaml.StreamEndEvent):
            raise _Refused("is no mapping of names to values")
    else:
        return
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key, value = _value(event, events), _value(next(events), events)
        if isinstance(key, str):
            yield key, value
    if any(isinstance(event, yaml.DocumentStartEvent) for event in events):
        raise _Refused("is more than one document")


def _value(event: yaml.Event, events: Iterator[yaml.Event]) -> Texts | None:
    """The value that begins with `event`, read to its end."""
    if (text := _text(event)) is not None:
        return text
    plain = isinstance(event, yaml.SequenceStartEvent) and not event.tag and not event.anchor
    items: list[str] = []
    depth = _step(event)
    while depth:
        event = next(events)
        depth += _step(event)
        if depth > _DEEPEST:
            raise _Refused("is nested too deeply")
        item = _text(event) if depth == 1 else None
        if item is not None:
            items.append(item)
        elif depth:
            plain = False
    return tuple(item for item in items if item) if plain else None


def _step(event: yaml.Event) -> int:
    return isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)


def _text(event: yaml.Event) -> str | None:
    """The text of a plain value; None for everything that has a tag, a name or a value elsewhere."""
    if not isinstance(event, yaml.ScalarEvent) or event.tag or event.anchor:
        return None
    value: str = event.value
    return "" if event.implicit[0] and value in _NOTHING else value
