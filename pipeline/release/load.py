"""A release and its recipe as a person wrote them, checked, with every problem of every file at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import ValidationError

from pipeline.errors import ReleaseFileError
from pipeline.release.document import EMPTY, read
from pipeline.release.english import all_default, explain
from pipeline.release.find import (
    check_recipe,
    check_release,
    elsewhere_names,
    recipe_file,
    recipe_names,
    release_file,
    release_names,
)
from pipeline.release.places import Problem, did_you_mean
from pipeline.release.recipe import Recipe, Rule
from pipeline.release.schema import Release, Threshold, Thresholds
from pipeline.release.texts import text_of
from pipeline.release.written_recipe import Fallback, WrittenRecipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.release.document import Document
    from pipeline.release.evaluated import EvaluationText
    from pipeline.release.fields import Written
    from pipeline.release.places import KeyPath

W = TypeVar("W", bound="Written")


@dataclass(frozen=True)
class Asked:
    """All that a person asked for under one name."""

    name: str
    release: Release
    recipe: Recipe


def load_release(root: Path, name: str) -> Asked:
    """A release and its recipe; `ReleaseFileError` holds every problem of every file involved at once."""
    problems: list[Problem] = []
    document = read(root, release_file(check_release(root, name)))
    release = validated(document, Release, problems)
    if release and release.evaluate.text.path:
        _check_text(root, document, release.evaluate.text, problems)
    recipe = _named_recipe(root, document, "recipe", (), problems)
    problems += _thresholds(document, name, release_names(root))
    problems += _siblings(document, name, (*release_names(root), *elsewhere_names(root)))
    if problems or release is None or recipe is None:
        raise refused(problems)
    return Asked(name, release, recipe)


def load_recipe(root: Path, name: str) -> Recipe:
    """A recipe with what it extends; errors as in `load_release`."""
    problems: list[Problem] = []
    recipe = _recipe(root, check_recipe(root, name), (), problems)
    if problems or recipe is None:
        raise refused(problems)
    return recipe


def refused(
    problems: list[Problem], hint: str = "docs/release-files.md describes every key. Nothing was started."
) -> ReleaseFileError:
    """In the order of reading: file after file as they were met, each from its top."""
    files = list(dict.fromkeys(problem.place.file for problem in problems))
    problems = sorted(problems, key=lambda problem: (files.index(problem.place.file), problem))
    return ReleaseFileError(tuple(str(problem) for problem in problems), hint=hint)


def validated(document: Document, model: type[W], problems: list[Problem]) -> W | None:
    """The file as its model; or None, with every problem of the file added to `problems`."""
    empty = {Problem(document.place(path), EMPTY) for path in document.broken if all_default(model, path)}
    found = [
        Problem(problem.place, f"{EMPTY}; `{{}}` asks for the defaults") if problem in empty else problem
        for problem in document.problems
    ]
    valid = validated_part(document, model, (), found)
    problems += found
    return None if found else valid


def validated_part(document: Document, model: type[W], at: KeyPath, problems: list[Problem]) -> W | None:
    """What stands `at` a path of the file as its model; or None, with every problem of its own added to `problems`."""
    value: Any = document.value
    for part in at:
        value = value[part]
    unquoted = {path[len(at) :]: text for path, text in document.unquoted.items() if path[: len(at)] == at}
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for inner, what, of_key in explain(error, model, unquoted):
            path = (*at, *inner)
            if not any(path[:length] in document.broken for length in range(len(path) + 1)):
                problems.append(Problem(document.place(path, of_key=of_key), what))
        return None


def _check_text(root: Path, document: Document, text: EvaluationText, problems: list[Problem]) -> None:
    """Whether a text of the repository's own is there and can be read, which everything else has to wait for."""
    file = str(text.path)
    try:
        content = (root / file).read_bytes()
    except OSError as error:
        problems.append(
            Problem(document.place(("evaluate", "text", "path")), f"{file} cannot be read: {error.strerror}")
        )
    else:
        text_of(content, file, text.lines_field, problems)


def _recipe(root: Path, name: str, children: tuple[str, ...], problems: list[Problem]) -> Recipe | None:
    document = read(root, recipe_file(name))
    written = validated(document, WrittenRecipe, problems)
    parent = _named_recipe(root, document, "extends", (*children, name), problems)
    if written is None or (written.extends and parent is None):
        return None
    rules = tuple(
        Rule(rule.match, rule.layers, rule.decision, rule.why, document.place(("rules", index, "match")))
        for index, rule in enumerate(written.rules)
    )
    otherwise, why, place = None, "", document.place(("otherwise",), of_key=True)
    if parent and written.otherwise is None:
        otherwise, why, place = parent.otherwise, parent.otherwise_why, parent.place
    elif isinstance(written.otherwise, Fallback):
        otherwise, why = written.otherwise.decision, written.otherwise.why or ""
    rules += parent.rules if parent else ()
    extends = (parent.name, *parent.extends) if parent else ()
    return Recipe(name, written.version, written.summary, rules, otherwise, why, place, extends)


def _named_recipe(
    root: Path, document: Document, key: str, children: tuple[str, ...], problems: list[Problem]
) -> Recipe | None:
    """The recipe that `key` names, looked for even when other keys of the file are wrong."""
    name = document.value.get(key) if isinstance(document.value, dict) else None
    if not isinstance(name, str):
        return None
    known, place = recipe_names(root), document.place((key,))
    if name in children:
        circle = " > ".join((*children[children.index(name) :], name))
        problems.append(Problem(place, f"recipes extend each other in a circle: {circle}"))
    elif name in known:
        return _recipe(root, name, children, problems)
    elif all(problem.place != place for problem in problems):
        also = did_you_mean(name, known) or f"; there are: {', '.join(known) or 'none'}"
        problems.append(Problem(place, f"there is no {recipe_file(name)}{also}"))
    return None


def _siblings(document: Document, name: str, known: Sequence[str]) -> Iterator[Problem]:
    value = document.value if isinstance(document.value, dict) else {}
    named = siblings if isinstance(siblings := value.get("siblings"), tuple) else ()
    others = [other for other in known if other != name]
    for index, sibling in enumerate(named):
        place = document.place(("siblings", index))
        if sibling == name:
            yield Problem(place, "a release is not its own sibling")
        elif sibling in named[:index]:
            yield Problem(place, f"`{sibling}` is named twice")
        elif isinstance(sibling, str) and sibling not in known:
            also = did_you_mean(sibling, others) or f"; there are: {', '.join(others) or 'no others'}"
            yield Problem(place, f"there is no {release_file(sibling)}{also}")


def _thresholds(document: Document, name: str, releases: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with thresholds beyond their own values: another release that they name, and waivers of them."""
    value = document.value if isinstance(document.value, dict) else {}
    asked, evaluate = (part if isinstance(part := value.get(key), dict) else {} for key in ("thresholds", "evaluate"))
    if asked.get("serving") is True and evaluate.get("serve") is False:
        what = "cannot be met: `evaluate.serve` is `false`, so nobody asks it through `mlx_lm.server`"
        yield Problem(document.place(("thresholds", "serving")), what)
    if evaluate.get("generate") is False and asked.get("generation", True) is not False:
        what = "nobody asks it anything then, which `thresholds.generation` wants: set that to `false` too"
        yield Problem(document.place(("evaluate", "generate")), what)
    against, place = asked.get("against", "base"), document.place(("thresholds", "against"))
    if against == name:
        yield Problem(place, "a release cannot be held against itself")
    elif isinstance(against, str) and against != "base" and against not in releases:
        others = [release for release in releases if release != name]
        choice = f"`base`, or a release: {', '.join(others)}" if others else "`base`, since there is no other release"
        also = did_you_mean(against, ("base", *others)) or f"; write {choice}"
        yield Problem(place, f"there is no {release_file(against)}{also}")
    waivers = value.get("waivers")
    seen: set[str] = set()
    for index, waiver in enumerate(waivers if isinstance(waivers, tuple) else ()):
        threshold = waiver.get("threshold") if isinstance(waiver, dict) else None
        if not isinstance(threshold, str) or threshold not in get_args(Threshold):
            continue
        place = document.place(("waivers", index, "threshold"))
        # What nobody wrote about serving is asked for wherever it is tried.
        default = evaluate.get("serve", True) if threshold == "serving" else Thresholds.model_fields[threshold].default
        if asked.get(threshold, default) in (None, False):
            yield Problem(place, f"`{threshold}` is not asked for: there is nothing to waive")
        elif threshold in seen:
            yield Problem(place, f"`{threshold}` is waived twice")
        seen.add(threshold)
