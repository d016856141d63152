"""What the Hub's own check of a model card is publicly known to refuse or to warn of, where possible in its words.

The shape of the fields is that of https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.metadata.lists import identifiers
from pipeline.metadata.values import is_hub_id, is_language, is_license

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.manifest import Json

_TEXTS = ("license_name", "license_link", "library_name", "pipeline_tag", "thumbnail", "base_model_relation")
_LISTS = ("tags", "widget", "metrics", "buckets")
_OF_TASK = {"type": True, "name": False}
_OF_DATASET = {"type": True, "name": True, "config": False, "split": False, "revision": False}
_OF_METRIC = {"type": True, "name": False, "config": False}
_OF_SOURCE = {"name": False, "url": True}
_LANGUAGE = (
    "It must be an ISO 639-1, 639-2 or 639-3 code (two/three letters), or a special value like "
    '"code", "multilingual". If you want to use BCP-47 identifiers, you can specify them in language_bcp47.'
)
_MODEL = "Use a model id from https://hf.co/models."
_DATASET = "Use a dataset id from https://hf.co/datasets."
_IDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("language", is_language, _LANGUAGE),
    ("base_model", is_hub_id, _MODEL),
    ("new_version", is_hub_id, _MODEL),
    ("datasets", is_hub_id, _DATASET),
)


@dataclass(frozen=True)
class Finding:
    """path: where in the fields, such as `model-index[0].name`; what: goes on with the sentence that begins with it."""

    path: str
    what: str

    def __str__(self) -> str:
        return f'"{self.path}" {self.what}'


def refused(fields: Mapping[str, Json]) -> list[Finding]:
    """What makes the Hub refuse a commit that holds these fields; a key without a value is no key."""
    present = {key: value for key, value in fields.items() if value is not None}
    found: list[Finding] = []
    for key in _TEXTS:
        _text(present, key, key, found)
    for key in _LISTS:
        _list_of_texts(present, key, found)
    known = f"must be one of [{', '.join(sorted(identifiers('licenses')))}, array]"
    found += [Finding(path, known) for path, value in _each(present, "license") if not is_license(value)]
    for key, holds, otherwise in _IDS:
        for path, value in _each(present, key):
            if not isinstance(value, str):
                found.append(Finding(path, "must be a string"))
            elif not holds(value):
                found.append(Finding(path, f'with value "{value}" is not valid. {otherwise}'))
    for path, model in _objects("model-index", present.get("model-index", []), found):
        _model(path, model, found)
    return found


def results(fields: Mapping[str, Json]) -> list[tuple[str, dict[str, Json]]]:
    """Every result of the model index with its path, as far as they have the right shape."""
    models = _objects("model-index", fields.get("model-index", []), [])
    return [one for path, model in models for one in _objects(f"{path}.results", model.get("results"), [])]


def doubtful(fields: Mapping[str, Json]) -> list[Finding]:
    """What the Hub takes, and warns of on the page of the model."""
    tag, known = fields.get("pipeline_tag"), identifiers("pipeline-tags")
    if isinstance(tag, str) and tag not in known:
        return [Finding("pipeline_tag", f'with value "{tag}" is not in the official list: {", ".join(sorted(known))}')]
    return []


def _model(path: str, model: Mapping[str, Json], found: list[Finding]) -> None:
    _text(model, "name", f"{path}.name", found, required=True)
    for inner, result in _objects(f"{path}.results", model.get("results"), found):
        _object(f"{inner}.task", result.get("task"), _OF_TASK, found)
        _object(f"{inner}.dataset", result.get("dataset"), _OF_DATASET, found)
        for at, metric in _objects(f"{inner}.metrics", result.get("metrics"), found):
            _object(at, metric, _OF_METRIC, found)
            if metric.get("value") is None:
                found.append(Finding(f"{at}.value", "is required"))
        if "source" in result:
            _object(f"{inner}.source", result["source"], _OF_SOURCE, found)


def _object(path: str, value: Json, keys: Mapping[str, bool], found: list[Finding]) -> None:
    """An object whose `keys` are texts, required where they say so."""
    if value is None:
        found.append(Finding(path, "is required"))
    elif not isinstance(value, dict):
        found.append(Finding(path, "must be of type object"))
    else:
        for key, required in keys.items():
            _text(value, key, f"{path}.{key}", found, required=required)


def _text(fields: Mapping[str, Json], key: str, path: str, found: list[Finding], *, required: bool = False) -> None:
    value = fields.get(key)
    if value is None:
        found += [Finding(path, "is required")] if required else []
    elif not isinstance(value, str):
        found.append(Finding(path, "must be a string"))
    elif not value:
        found.append(Finding(path, "is not allowed to be empty"))


def _list_of_texts(fields: Mapping[str, Json], key: str, found: list[Finding]) -> None:
    value = fields.get(key, [])
    if not isinstance(value, list):
        found.append(Finding(key, "must be an array"))
    elif key != "widget":
        wrong = (number for number, one in enumerate(value) if not isinstance(one, str))
        found += [Finding(f"{key}[{number}]", "must be a string") for number in wrong]


def _objects(path: str, value: Json, found: list[Finding]) -> list[tuple[str, dict[str, Json]]]:
    """Every object of a list with its path."""
    if not isinstance(value, list):
        found.append(Finding(path, "is required" if value is None else "must be an array"))
        return []
    places = [(f"{path}[{number}]", one) for number, one in enumerate(value)]
    found += [Finding(at, "must be of type object") for at, one in places if not isinstance(one, dict)]
    return [(at, one) for at, one in places if isinstance(one, dict)]


def _each(fields: Mapping[str, Json], key: str) -> list[tuple[str, Json]]:
    """The value, or every one of a list of them, with its path; nothing of a key that is not there."""
    value = fields.get(key, [])
    return (
        [(f"{key}[{number}]", one) for number, one in enumerate(value)] if isinstance(value, list) else [(key, value)]
    )
