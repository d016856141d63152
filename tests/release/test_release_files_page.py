"""docs/release-files.md says of every key what the schema says, and its examples are valid.

`UPDATE_GOLDEN=1 pytest tests/release` writes the tables anew from the schema.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from pipeline.errors import ReleaseFileError
from pipeline.release import (
    elsewhere,
    evaluated,
    fields,
    reported,
    schema,
    signing,
    stated_license,
    written,
    written_recipe,
)
from pipeline.release.load import load_recipe, load_release
from pipeline.release.recipe import assign

SECTIONS = {
    "Release": schema.Release,
    "`license`": stated_license.StatedLicense,
    "`base`": schema.BaseRevision,
    "`target`": schema.Target,
    "`signing`": signing.Signing,
    "`fit`": schema.Fit,
    "`evaluate`": evaluated.Evaluation,
    "`evaluate.text`": evaluated.EvaluationText,
    "`evaluate.speed`": evaluated.Speed,
    "`evaluate.prompts`": evaluated.Prompt,
    "`evaluate.sampling`": evaluated.Sampling,
    "`thresholds`": schema.Thresholds,
    "`waivers`": schema.Waiver,
    "Recipe": written_recipe.WrittenRecipe,
    "`rules`": written_recipe.WrittenRule,
    "`otherwise`": written_recipe.Fallback,
    "Precision": written_recipe.Choice,
    "Elsewhere": elsewhere.Elsewhere,
    "Imported figures": reported.ReportedFile,
    "`figures`": reported.ReportedFigures,
    "`prompt` and `generation`": reported.ReportedSpeed,
    "`perplexity`": reported.ReportedPerplexity,
}
SECTION = r"^### {}\n\n(?P<text>(?:(?!\||#).*\n)*)(?P<table>(?:\|.*\n)*)"


@pytest.fixture
def page(shipped):
    return shipped / "docs" / "release-files.md"


def type_of(annotation, title=None):
    """What a person writes, in words."""
    if title:
        return title
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        titles = [entry.title for entry in metadata if isinstance(entry, FieldInfo) and entry.title]
        return type_of(kind, titles[-1] if titles else None)
    if get_origin(annotation) is tuple:
        return f"list of {type_of(get_args(annotation)[0])}"
    if isinstance(annotation, type):
        return "`true` or `false`" if annotation is bool else "keys"
    kinds = [argument for argument in get_args(annotation) if argument is not type(None)]
    if all(isinstance(kind, str) for kind in kinds):
        return " or ".join(f"`{kind}`" for kind in kinds)
    return type_of(kinds[0])


def default_of(field):
    if field.is_required():
        return "required"
    match field.default:
        case None | ():
            return ""
        case bool():
            return f"`{str(field.default).lower()}`"
        case tuple() as values:
            return f"`[{', '.join(map(str, values))}]`"
        case int() if field.title.startswith("size"):
            return f"`{written.format_size(field.default)}`"
        case value:
            return f"`{value}`"


def table(model):
    inherited = {} if model is written_recipe.Choice else written_recipe.Choice.model_fields
    rows = [
        f"| `{name}` | {type_of(field.annotation, field.title)} | {default_of(field)} | {field.description} |"
        for name, field in model.model_fields.items()
        if not (issubclass(model, written_recipe.Choice) and name in inherited)
    ]
    if issubclass(model, written_recipe.Choice) and inherited:
        rows.append("| | | | and the keys of a [precision](#precision) |")
    return "\n".join(["| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows]) + "\n"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_says_of_every_key_what_the_schema_says(section, page):
    text = page.read_text("utf-8")
    found = re.search(SECTION.format(re.escape(section)), text, re.MULTILINE)
    assert found, f"the page has no section {section}"
    expected = table(SECTIONS[section])
    if os.environ.get("UPDATE_GOLDEN"):
        replaced = f"### {section}\n\n{found['text']}{expected}" + ("" if found["table"] else "\n")
        page.write_text(text[: found.start()] + replaced + text[found.end() :], "utf-8")
    else:
        assert found["table"] == expected, "run again with UPDATE_GOLDEN=1 if the schema is as it should be"


def test_every_part_of_the_schema_has_its_section():
    every = (
        part
        for module in (schema, signing, stated_license, elsewhere, evaluated, written_recipe, reported)
        for part in vars(module).values()
    )
    parts = {part for part in every if isinstance(part, type) and issubclass(part, fields.Written)}
    assert parts - {fields.Written} == set(SECTIONS.values())


def test_the_examples_on_the_page_are_valid(page, repository, llama):
    release, recipe = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    repository.release("example", release)
    repository.recipe("mixed-5-6-8", recipe)
    assert load_release(repository.root, "example").release.recipe == "mixed-5-6-8"
    assert assign(load_recipe(repository.root, "mixed-5-6-8"), llama()).counts == (1, 7, 60)


def test_the_mistake_on_the_page_is_reported_in_those_words(page, repository):
    [told] = re.findall(r"```text\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    head, line, caret = told.splitlines()
    repository.release("demo", "\n" * 5 + "base:\n  revision: c0ffee12\n")
    with pytest.raises(ReleaseFileError) as raised:
        load_release(repository.root, "demo")
    assert f"{head}\n{line}\n{caret}" in str(raised.value)
