"""Front matter held to the Hub's rules without asking the Hub, and to a few that only its readers would notice."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

from pipeline.metadata.hub_rules import Finding, doubtful, refused, results
from pipeline.metadata.lists import identifiers
from pipeline.metadata.values import OTHER, RELATIONS, is_address, is_file, is_hub_id, is_license_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pipeline.manifest import Json

REQUIRED = ("base_model", "base_model_relation", "library_name", "pipeline_tag", "license")
# Documented in prose, beside the specification that the list is made from.
_IN_PROSE = {"base_model_relation", "new_version", "pipeline_tag", "thumbnail", "widget", "inference"}
_ALSO_KNOWN = frozenset({*_IN_PROSE, "language_bcp47", "co2_eq_emissions", "quantized_by"})
_LONGEST = 4096
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def lint(fields: Mapping[str, Json], files: Collection[str]) -> list[Finding]:
    """Everything wrong with the fields of a card beside `files`, the paths in its repository; nothing is good.

    It is stricter than the Hub: a tag or a library that the Hub merely does not know is a misspelling here.
    """
    found = [*refused(fields), *doubtful(fields)]
    found += [Finding(key, "is missing") for key in REQUIRED if not fields.get(key)]
    found += _of_keys(fields)
    found += _license(fields, files)
    for path, result in results(fields):
        dataset = result.get("dataset")
        kind = dataset.get("type") if isinstance(dataset, dict) else None
        if isinstance(kind, str) and not is_hub_id(kind):
            found.append(Finding(f"{path}.dataset.type", "must look like the id of a data set on the Hub"))
    for path, value in _leaves("", dict(fields)):
        found += _leaf(path, value)
    return list(dict.fromkeys(found))


def _of_keys(fields: Mapping[str, Json]) -> Iterator[Finding]:
    known = identifiers("keys") | _ALSO_KNOWN
    yield from (Finding(key, "is no key that the Hub knows") for key in fields if key not in known)
    library, relation = fields.get("library_name"), fields.get("base_model_relation")
    if isinstance(library, str) and library not in identifiers("libraries"):
        yield Finding("library_name", f'with value "{library}" is no library that the Hub knows')
    if isinstance(relation, str) and relation not in RELATIONS:
        yield Finding("base_model_relation", f"must be one of [{', '.join(sorted(RELATIONS))}]")
    for key in ("language", "tags", "datasets", "base_model"):
        values = fields.get(key)
        texts = [one for one in values if isinstance(one, str)] if isinstance(values, list) else []
        if twice := sorted({one for one in texts if texts.count(one) > 1}):
            yield Finding(key, f'holds "{twice[0]}" more than once')


def _license(fields: Mapping[str, Json], files: Collection[str]) -> Iterator[Finding]:
    name, link = fields.get("license_name"), fields.get("license_link")
    if fields.get("license") != OTHER:
        yield from (
            Finding(key, "needs `license: other`") for key in ("license_name", "license_link") if fields.get(key)
        )
        return
    if not name:
        yield Finding("license_name", "is missing, which `license: other` needs")
    elif isinstance(name, str) and not is_license_name(name):
        yield Finding("license_name", "must be a short name in lower case, such as `modified-mit`")
    if not link:
        yield Finding("license_link", "is missing, which `license: other` needs")
    elif is_file(link):
        if link not in files:
            yield Finding("license_link", f'names "{link}", which is not among the files of the model')
    elif isinstance(link, str) and not is_address(link):
        yield Finding("license_link", "must be a file of the model or an address that begins with https://")


def _leaves(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    """Every value that holds no others, and every key, with its path."""
    match value:
        case dict():
            for key, one in value.items():
                yield f"{path}.{key}".lstrip("."), key
                yield from _leaves(f"{path}.{key}".lstrip("."), one)
        case list():
            for number, one in enumerate(value):
                yield from _leaves(f"{path}[{number}]", one)
        case _:
            yield path, value


def _leaf(path: str, value: Json) -> Iterator[Finding]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Finding(path, "must be a finite number")
    if not isinstance(value, str):
        return
    if len(value) > _LONGEST:
        yield Finding(_short(path), f"is longer than {_LONGEST} characters")
    elif hidden := next((one for one in value if unicodedata.category(one) in _INVISIBLE), None):
        yield Finding(_short(path), f"holds the invisible character U+{ord(hidden):04X}")


def _short(path: str) -> str:
    """A path whose keys are hostile themselves, as it can be shown."""
    return ascii(path[:80])[1:-1]
