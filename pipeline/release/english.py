"""What pydantic found wrong, in plain English and at its place in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ValidationError

from pipeline.release.places import did_you_mean, meant, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

    from pipeline.release.places import KeyPath


def explain(
    error: ValidationError, model: type[BaseModel], unquoted: Mapping[KeyPath, str]
) -> Iterator[tuple[KeyPath, str, bool]]:
    """Each problem's path in the file, its sentence, and whether it is the key, not the value, that is wrong.

    unquoted: the source text of values that YAML reads as something other than text, to say what to quote.
    """
    details = error.errors(include_url=False)
    unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
    misspelt = {(*path[:-1], _meant(str(path[-1]), _beside(model, path))) for path in unknown}
    for detail in details:
        path = detail["loc"]
        if path in unknown:
            beside = _beside(model, path)
            name = _meant(str(path[-1]), beside)
            also = f"did you mean `{name}`?" if name else f"known here: {', '.join(beside.model_fields)}"
            text = "; put a text that contains `: ` in quotes" if getattr(beside, "or_text", False) else ""
            yield path, f"unknown key; {also}{text}", True
        elif path not in misspelt:
            also = "; `{}` asks for the defaults" if detail["type"] == "model_type" and all_default(model, path) else ""
            yield path, _sentence(detail, unquoted.get(path)) + also, False


def all_default(model: type[BaseModel], path: KeyPath) -> bool:
    """Whether `{}` could be written at `path` of the file: keys that may all be left out."""
    annotation: object = model
    for part in path:
        if isinstance(part, str):
            inner = _model_in(annotation)
            field = inner.model_fields.get(part) if inner else None
            annotation = field.annotation if field else None
    kinds = (annotation, *get_args(annotation))
    found = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    try:
        return found is not None and bool(found.model_validate({}))
    except ValidationError:
        return False


_OTHER_WORDS = {"reason": "why", "because": "why"}
_SENTENCES = {
    "missing": "is missing",
    "string_type": "must be text, not {value}",
    "int_type": "must be a whole number, not {value}",
    "float_type": "must be a number, not {value}",
    "finite_number": "must be a finite number, not {value}",
    "bool_type": "must be `true` or `false`, not {value}",
    "tuple_type": "must be a list, not {value}",
    "model_type": "must be keys with values, not {value}",
    "literal_error": "must be {known}, not {value}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "greater_than": "must be more than {gt:g}, not {value}",
    "greater_than_equal": "must be at least {ge:g}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "value_error": "{error}",
}


def _sentence(detail: ErrorDetails, unquoted: str | None) -> str:
    if detail["type"] == "string_type" and unquoted is not None:
        return f"must be text: put it in quotes, '{unquoted}'"
    if detail["type"] == "int_type" and str(detail["input"]).isdecimal():
        return f"must be a whole number: write {detail['input']} without quotes"
    words = {"value": shown(detail["input"]), **detail.get("ctx", {})}
    if detail["type"] == "literal_error":
        known = words["expected"].split("'")[1::2]
        words["known"] = _or(known)
        words["value"] += did_you_mean(str(detail["input"]), known)
    return _SENTENCES[detail["type"]].format(**words)


def _or(names: list[str]) -> str:
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} or {last}" if most else last


def _beside(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """The model of the keys that stand beside the one at `path`."""
    for part in path[:-1]:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _meant(word: str, model: type[BaseModel]) -> str | None:
    """The key of a model that `word` is a misspelling of, or another word for."""
    name = _OTHER_WORDS.get(word.lower())
    return name if name in model.model_fields else meant(word, model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The one model inside an annotation such as `tuple[WrittenRule, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)
