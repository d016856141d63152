"""Reads figures that were reported elsewhere, from a small YAML or JSON file that a person writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator, model_validator

from pipeline.evidence import HARNESS, Measurement, identity
from pipeline.release.fields import Count, Line, Size, Text, Written
from pipeline.release.load import validated
from pipeline.release.places import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.evidence import Source
    from pipeline.manifest import Json
    from pipeline.release.document import Document

Number = Annotated[float, Field(ge=0, allow_inf_nan=False, title="number")]
Rate = Annotated[Number, Field(gt=0)]


class ReportedSpeed(Written):
    """How fast a model read a prompt of so many tokens, or generated so many."""

    tokens: Count = Field(description="The length of the prompt, or how many tokens were generated.")
    tokens_per_second: Rate = Field(description="The mean over all trials.")
    deviation: Number | None = Field(default=None, description="The standard deviation over the trials.")
    peak_memory: Size | None = Field(default=None, description="The most memory that was in use.")


class ReportedPerplexity(Written):
    """How surprised a model was by a text."""

    value: Annotated[Number, Field(ge=1)] = Field(description="The perplexity.")
    standard_error: Rate | None = Field(default=None, description="Its standard error.")
    tokens: Count | None = Field(default=None, description="How many tokens were predicted.")
    text: Line = Field(description="What it was measured on.")


class ReportedFigures(Written):
    """What one program measured of one model."""

    subject: Line = Field(
        description="The model: `base`, `quantized` for the one that this release makes, or the name of another."
    )
    harness: Line = Field(description="The program that measured, such as `llama-bench` or `mlx_lm.benchmark`.")
    build: Line | None = Field(default=None, description="The version or build of that program.")
    command: Line | None = Field(default=None, description="Its command line.")
    backend: Line | None = Field(default=None, description="What it computed with, such as `metal`.")
    machine: Line | None = Field(default=None, description="The machine, in words.")
    date: Line | None = Field(default=None, description="When it was measured.")
    prompt: tuple[ReportedSpeed, ...] = Field(default=(), description="How fast it read prompts.")
    generation: tuple[ReportedSpeed, ...] = Field(default=(), description="How fast it generated.")
    perplexity: ReportedPerplexity | None = Field(default=None, description="How well it predicted a text.")

    @field_validator("harness")
    @classmethod
    def _is_not_ours(cls, harness: str) -> str:
        if harness.lower() == HARNESS:
            raise ValueError(
                f"`{harness}` is this program, whose own figures are not imported: name the one that measured"
            )
        return harness

    @field_validator("prompt", "generation")
    @classmethod
    def _each_length_once(cls, rows: tuple[ReportedSpeed, ...]) -> tuple[ReportedSpeed, ...]:
        lengths = [row.tokens for row in rows]
        if twice := next((length for length in lengths if lengths.count(length) > 1), None):
            raise ValueError(f"holds {twice:,} tokens more than once")
        return rows

    @model_validator(mode="after")
    def _says_enough(self) -> ReportedFigures:
        if not self.prompt and not self.generation and not self.perplexity:
            raise ValueError("holds no figure: say `prompt`, `generation` or `perplexity`")
        return self


class ReportedFile(Written):
    """A file for `pipeline evidence import`."""

    reported: Text | None = Field(
        default=None,
        description="Where the figures were reported, an address; none for what you measured yourself.",
    )
    figures: tuple[ReportedFigures, ...] = Field(description="What was measured, model by model.")

    @field_validator("figures")
    @classmethod
    def _is_not_empty(cls, figures: tuple[ReportedFigures, ...]) -> tuple[ReportedFigures, ...]:
        if not figures:
            raise ValueError("must not be empty")
        return figures


def import_figures(document: Document, problems: list[Problem], *, source: Source, where: str) -> list[Measurement]:
    """The measurements of a file; `where` comes before its own `reported`. Adds what is wrong to `problems`."""
    file = validated(document, ReportedFile, problems)
    if file is None:
        return []
    place = where or file.reported or ""
    if source == "reported" and not place:
        what = "does not say where its figures were reported: `reported: ADDRESS`"
        problems.append(Problem(document.place(()), what))
    if source == "measured" and file.reported:
        what = "says where the figures were reported, and `--source measured` that you measured them"
        problems.append(Problem(document.place(("reported",), of_key=True), what))
    made: dict[str, tuple[int, Measurement]] = {}
    for index, figures in enumerate(file.figures):
        for one in _measurements(figures, source, place):
            first, _ = made.setdefault(identity(one), (index, one))
            if first != index:
                at = document.place(("figures", first))
                what = f"holds the {one.measure} of {one.subject} by {one.harness}, as line {at.line} does: keep one"
                problems.append(Problem(document.place(("figures", index)), what))
    return [one for _, one in made.values()]


def _measurements(figures: ReportedFigures, source: Source, place: str) -> Iterator[Measurement]:
    said = {
        "harness": figures.harness,
        "build": figures.build,
        "backend": figures.backend,
        "command": figures.command,
        "reported": place,
    }
    settings: dict[str, Json] = {key: value for key, value in said.items() if value}

    def measurement(measure: str, values: dict[str, Json], **more: Json) -> Measurement:
        return Measurement(
            measure=measure,
            subject=figures.subject,
            weights="",
            values=values,
            settings={**settings, **more},
            tools={figures.harness: figures.build} if figures.build else {},
            machine={"machine": figures.machine} if figures.machine else {},
            measured_at=figures.date or "",
            source=source,
        )

    if figures.prompt or figures.generation:
        yield measurement("speed", {"prompt": _rows(figures.prompt), "generation": _rows(figures.generation)})
    if found := figures.perplexity:
        known = {"perplexity": found.value, "standard_error": found.standard_error, "tokens": found.tokens}
        values: dict[str, Json] = {key: value for key, value in known.items() if value is not None}
        yield measurement("perplexity", values, text=found.text)


def _rows(rows: Sequence[ReportedSpeed]) -> list[Json]:
    return [row.model_dump(mode="json") for row in sorted(rows, key=lambda row: row.tokens)]
