"""A YAML file as plain values, with the line and column of each.

YAML 1.1 reads `no` as false, `012` as ten and `12:30` as 750. Here plain values mean what the core schema of YAML 1.2
says, and whatever lets a file say something else than it seems to say (tags, aliases, merge keys, repeated keys,
several documents) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import yaml

from pipeline.release.places import Place, Problem, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.release.places import KeyPath

EMPTY = "is empty; write a value, or remove the key"
_LARGEST = 1 << 18
_DEEPEST = 16
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INVISIBLE = re.compile("[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

# What PyYAML says, and what it means to somebody who writes a release file.
_SYNTAX = (
    ("character '\\t'", "a tab stands where YAML wants spaces"),
    (
        "mapping values are not allowed",
        "no `:` can stand here; check the indentation, and put a value that holds a colon in quotes",
    ),
    ("unknown escape character", "unknown escape; in double quotes a backslash is special: use single quotes"),
    ("undefined tag handle", "tags are not used here; remove what begins with `!`"),
    ("while scanning an alias", "`*` begins an alias; put a value that begins with it in quotes"),
    ("while scanning an anchor", "`&` begins an anchor; put a value that begins with it in quotes"),
    ("that cannot start any token", "a value cannot begin with this character; put it in quotes"),
    ("while scanning a quoted scalar", "the quotes that open here are never closed"),
    ("while parsing a flow sequence", "a comma or the closing `]` is missing here, or quotes around a text with a `?`"),
    ("while parsing a flow mapping", "a comma or the closing `}` is missing here, or quotes around a text with a `?`"),
    ("could not find expected ':'", "a key without its `:`, or a text that needs quotes"),
    ("while parsing a flow node", "a value is missing here"),
    ("expected '<document start>'", "this line does not belong to what is above it; compare indentation and dashes"),
    ("expected <block end>", "this line does not fit those above it; compare its indentation, quotes and dashes"),
)


@dataclass(frozen=True)
class Document:
    """A file's content as dict, tuple, str, int, float and bool, with the place of every key and value.

    unquoted: the source text of values that are not text although they might have been meant so.
    problems: what is wrong whatever the file is about.
    broken: paths whose values mean nothing, so that nobody complains of them twice.
    """

    file: str
    value: object
    keys: Mapping[KeyPath, Place]
    values: Mapping[KeyPath, Place]
    unquoted: Mapping[KeyPath, str]
    problems: tuple[Problem, ...]
    broken: frozenset[KeyPath]

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place:
        """Where `path` is written; for something missing, what it is missing from."""
        found = (self.keys if of_key else self.values).get(path)
        outer = path
        while found is None and outer:
            outer = outer[:-1]
            found = self.keys.get(outer) or self.values.get(outer)
        return replace(found or Place(self.file), path=dotted(path))


def read(root: Path, file: str) -> Document:
    """A YAML file by its path relative to `root`; it never fails, but the document may hold nothing but problems."""
    text = _text(root, file)
    if isinstance(text, Problem):
        return _unreadable(text)
    reader = _Reader(file, text)
    try:
        return reader.document()
    except _AbandonedError:
        return _unreadable(*reader.problems)
    except yaml.MarkedYAMLError as error:
        return _unreadable(*reader.problems, _syntax_problem(file, text, error))


def _text(root: Path, file: str) -> str | Problem:
    """The file's text with plain line ends, or why it cannot be any that a person wrote."""
    try:
        content = (root / file).read_bytes()
    except OSError as error:
        return Problem(Place(file, 0), f"cannot be read: {error.strerror}")
    if len(content) > _LARGEST:
        return Problem(Place(file, 0), f"is {len(content)} bytes long; at most {_LARGEST} are read")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        seen = content[: error.start].decode("utf-8-sig", "replace")
        what = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        return Problem(_place_at(file, seen + "\N{REPLACEMENT CHARACTER}", len(seen)), what)
    if found := _INVISIBLE.search(text):
        what = f"the invisible character U+{ord(found[0]):04X} stands here; remove it"
        return Problem(_place_at(file, text, found.start()), what)
    return text


def _unreadable(*problems: Problem) -> Document:
    return Document(problems[0].place.file, None, {}, {}, {}, problems, frozenset({()}))


def _place_at(file: str, text: str, index: int) -> Place:
    start = text.rfind("\n", 0, index) + 1
    return Place(file, text.count("\n", 0, index) + 1, index - start + 1, "", text[start:].partition("\n")[0])


def _syntax_problem(file: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    what = next((meaning for part, meaning in _SYNTAX if part in said), said)
    mark = error.problem_mark or error.context_mark
    if "while scanning a quoted scalar" in said and "end of stream" in said:
        mark = error.context_mark
    return Problem(_place_at(file, text, mark.index if mark else 0), what)


class _AbandonedError(Exception):
    """The file is not worth reading further; the reader's problems say why."""


class _Reader:
    """Builds a document from PyYAML's events, in which nothing has been interpreted yet."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self.unquoted: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        self.broken: set[KeyPath] = set()

    def document(self) -> Document:
        value: object = None
        starts = (event for event in self.events if isinstance(event, yaml.DocumentStartEvent))
        if next(starts, None):
            value = self._value(next(self.events), ())
        else:
            self._refuse(Place(self.file), "is empty", ())
        if second := next(starts, None):
            self._refuse(self._place(second, ()), "a second document begins here; one file describes one thing")
        return Document(
            self.file, value, self.keys, self.values, self.unquoted, tuple(self.problems), frozenset(self.broken)
        )

    def _refuse(self, place: Place, what: str, broken: KeyPath | None = None) -> None:
        self.problems.append(Problem(place, what))
        if broken is not None:
            self.broken.add(broken)

    def _place(self, event: yaml.Event, path: KeyPath) -> Place:
        mark = event.start_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        return Place(self.file, line + 1, column + 1, dotted(path), self.lines[line])

    def _value(self, event: yaml.Event, path: KeyPath) -> object:
        place = self.values[path] = self._place(event, path)
        if len(path) > _DEEPEST:
            self._refuse(place, "is nested too deeply", path)
            raise _AbandonedError
        if isinstance(event, yaml.AliasEvent):
            self._refuse(place, f"aliases are not used here; write the value out instead of `*{event.anchor}`", path)
            return None
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._refuse(place, f"anchors are not used here; remove `&{event.anchor}`")
        match event:
            case yaml.CollectionStartEvent(tag=str()) | yaml.ScalarEvent(tag=str()):
                self._refuse(place, "tags are not used here; remove what begins with `!`", path)
                self._skip(event)
                return None
            case yaml.SequenceStartEvent():
                return self._sequence(path)
            case yaml.MappingStartEvent():
                return self._mapping(path, in_braces=bool(event.flow_style))
            case yaml.ScalarEvent():
                return self._scalar(event, path)
        raise AssertionError(event)

    def _sequence(self, path: KeyPath) -> tuple[object, ...]:
        items: list[object] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return tuple(items)

    def _mapping(self, path: KeyPath, *, in_braces: bool) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event, path, in_braces=in_braces)
            event = next(self.events)
            if key is None:
                self._skip(event)
            else:
                values[key] = self._value(event, (*path, key))
        return values

    def _key(self, event: yaml.Event, path: KeyPath, *, in_braces: bool) -> str | None:
        """The key, or None when it was refused, its own nodes consumed."""
        place = self._place(event, path)
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(place, "a key must be a word")
            self._skip(event)
            return None
        key: str = event.value
        if event.tag or event.anchor:
            self._refuse(place, "tags and anchors are not used here; remove them from this key")
        elif key == "<<" and event.implicit[0]:
            self._refuse(place, "merge keys are not used here; write the keys out instead of `<<`")
        elif event.implicit[0] and not isinstance(_resolved(key), str):
            also = "; inside braces, put a value that holds commas in quotes" if in_braces else ""
            self._refuse(place, f"a key must be a word, not {key or 'nothing'}{also}")
        elif first := self.keys.get((*path, key)):
            self._refuse(replace(place, path=dotted((*path, key))), f"is written twice, first on line {first.line}")
        else:
            self.keys[(*path, key)] = self._place(event, (*path, key))
            return key
        return None

    def _skip(self, event: yaml.Event) -> None:
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if not depth:
                return
            if depth > _DEEPEST:
                raise _AbandonedError
            event = next(self.events)

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> object:
        if not event.implicit[0]:
            return event.value
        value = _resolved(event.value)
        if value is None:
            self._refuse(self.values[path], EMPTY, path)
        elif not isinstance(value, str):
            self.unquoted[path] = event.value
        return value


def _resolved(text: str) -> object:
    """What an unquoted value means by the core schema of YAML 1.2 (chapter 10.3.2)."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[iInN])", "", text))
    return text
