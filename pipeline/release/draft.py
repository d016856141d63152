"""A recipe that the program proposes, and its text as a person would have written it."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.release.places import Place
from pipeline.release.recipe import FORMATS, Precision, Recipe, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.release.layers import Layers
    from pipeline.release.recipe import Decision

_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 .;()/_%+-]|,(?= ))*[A-Za-z0-9.)%]", re.ASCII)
_WORDS = {"true", "false", "null"}


@dataclass(frozen=True)
class DraftRule:
    """As a `Rule`, before it has a place in a file."""

    match: str
    layers: Layers | None
    decision: Decision
    why: str


@dataclass(frozen=True)
class Draft:
    """As a `Recipe`, before it has a name. remarks: comments for the top of the file, a paragraph each."""

    summary: str
    rules: tuple[DraftRule, ...]
    otherwise: Decision | None
    otherwise_why: str = ""
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """The YAML file, which `load_recipe` reads back to the same rules."""
        return "\n".join(self._lines()) + "\n"

    def recipe(self, name: str) -> Recipe:
        """The recipe itself, placed in a file that is not written yet; places count rules instead of lines."""
        rules = tuple(
            Rule(rule.match, rule.layers, rule.decision, rule.why, Place(name, index))
            for index, rule in enumerate(self.rules, 1)
        )
        return Recipe(name, 1, self.summary, rules, self.otherwise, self.otherwise_why, Place(name))

    def _lines(self) -> Iterator[str]:
        for remark in self.remarks:
            wrapped = textwrap.wrap(remark, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
            yield from (f"# {line}" for line in wrapped)
        if self.remarks:
            yield ""
        yield "version: 1"
        yield from written_text("summary", self.summary, "")
        yield ""
        if self.rules:
            yield "rules:"
        for rule in self.rules:
            yield f"  - match: {quoted(rule.match)}"
            if rule.layers:
                yield f"    layers: {rule.layers}"
            yield from (f"    {line}" for line in _precision(rule.decision))
            yield from written_text("why", rule.why, "    ")
            yield ""
        if self.otherwise is None:
            yield "otherwise: error"
            return
        yield "otherwise:"
        yield from (f"  {line}" for line in _precision(self.otherwise))
        if self.otherwise_why:
            yield from written_text("why", self.otherwise_why, "  ")


def _precision(decision: Decision) -> Iterator[str]:
    """Only what differs from the defaults, as people write it."""
    if not isinstance(decision, Precision):
        yield f"dtype: {decision.dtype}"
        return
    if decision.mode == "affine":
        yield f"bits: {decision.bits}"
    else:
        yield f"mode: {decision.mode}"
    if decision.group_size != FORMATS[decision.mode].group_sizes[0]:
        yield f"group_size: {decision.group_size}"
    if decision.method != "round":
        yield f"method: {decision.method}"


def written_text(key: str, text: str, indent: str) -> Iterator[str]:
    """The lines of a key and its text, which is folded where it is long and folding gives back this very text."""
    line = f"{indent}{key}: {scalar(text)}"
    if len(line) <= _WIDTH or " ".join(text.split()) != text:
        yield line
        return
    yield f"{indent}{key}: >-"
    width = _WIDTH - len(indent) - 2
    wrapped = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    yield from (f"{indent}  {part}" for part in wrapped)


def scalar(text: str) -> str:
    """Without quotes where YAML takes it for the same text."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else quoted(text)


def quoted(text: str) -> str:
    """In single quotes, which leave a backslash alone."""
    return "'" + text.replace("'", "''") + "'"
