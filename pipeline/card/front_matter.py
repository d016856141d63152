"""The YAML at the top of a card: what the Hub reads. Written so that no value can become anything but a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pipeline.manifest import Json

FENCE = "---\n"

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[ ._/+-][A-Za-z0-9]+)*")
_NOT_STRINGS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


class _Dumper(yaml.SafeDumper):
    """Quotes every string that some reader might not take for one; the Hub's knows more numbers than PyYAML: `1e3`."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if doubled := {key for key in keys if keys.count(key) > 1}:
            problem = f"the key {', '.join(map(str, doubled))} stands twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    word = _WORD.fullmatch(text) and text.lower() not in _NOT_STRINGS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if word else '"')


_Dumper.add_representer(str, _string)


def write(fields: Mapping[str, Json]) -> str:
    """The block with its fences, keys in the order of `fields`."""
    block = yaml.dump(dict(fields), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return f"{FENCE}{block}{FENCE}"


def parse(card: str) -> tuple[dict[str, Json], str]:
    """The front matter as a mapping, and the body after it."""
    if not card.startswith(FENCE) or (end := card.find("\n" + FENCE, len(FENCE) - 1)) < 0:
        raise PipelineError(
            "the card has no front matter",
            hint="A card starts with a line of three hyphens, YAML, and another such line.",
        )
    try:
        fields = _Loader(card[len(FENCE) : end + 1]).get_single_data()
    except yaml.YAMLError as error:
        raise PipelineError(f"the card's front matter is not valid YAML: {error}") from error
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise PipelineError("the card's front matter is not a mapping of names to values")
    return fields, card[end + 1 + len(FENCE) :]
