"""What the evidence gives to plot: the models of each chart, by their figures, and how these were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pipeline.card import figures
from pipeline.card.charts import Bar, Bars, Lines, Panel, Point, Scatter, Series
from pipeline.card.escape import visible
from pipeline.card.other_programs import alike
from pipeline.card.speed import BACKENDS, Rate
from pipeline.release.metrics import KL, PERPLEXITY, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.card.inputs import Inputs
    from pipeline.evidence import Measurement
    from pipeline.lock import TensorClass
    from pipeline.manifest import Json

OWN = "this model"
BASE = "the base"

_MODELS = 10
_BARS = 12
_SMALL = 0.005
"""The share of all bytes below which classes are one bar together."""

_LABEL = 60
_NOTE = 110
_FIGURES = {"perplexity": ("perplexity", PERPLEXITY), "divergence": ("kl_mean", KL["kl_mean"])}
_AXES = {
    "perplexity": ("Perplexity", "Perplexity, lower is better"),
    "divergence": ("KL divergence from the base", "Mean KL divergence in nats, lower is better"),
}


@dataclass(frozen=True)
class _Model:
    """What was measured of a model, and the bytes of its weights; None where they are not known."""

    label: str
    bytes: int | None
    measurement: Measurement
    own: bool

    @property
    def reported(self) -> bool:
        return self.measurement.source == "reported"


def quality(inputs: Inputs, measure: str) -> Scatter | None:
    """Perplexity, or divergence from the base, against size; None with fewer than two models, this one among them.

    Figures of two ways of measuring never share a chart: it shows the way in which most models were measured.
    """
    models = [model for model in _models(inputs, measure) if _size_and_figure(model, measure)]
    ways = [[one for one in models if alike(own.measurement, one.measurement)] for own in models if own.own]
    way = max(ways, key=len, default=[])[:_MODELS]
    if len(way) < 2:
        return None
    series = tuple(
        Series(model.label, (point,), model.own, model.reported)
        for model in way
        if (point := _size_and_figure(model, measure))
    )
    heading, axis = _AXES[measure]
    note = _note([model.measurement for model in way], series, "error")
    return Scatter(f"{heading} by size", note, "Size of the weights", axis, series)


def speed(inputs: Inputs) -> Lines | None:
    """Tokens per second by length, a line for each model and program; None with fewer than two points of a kind."""
    models = list(_models(inputs, "speed"))[:_MODELS]
    panels = (
        _panel(models, "prompt", "Reading a prompt", "Tokens in the prompt"),
        _panel(models, "generation", "Generating", "Tokens generated"),
    )
    drawn = tuple(panel for panel in panels if sum(len(series.points) for series in panel.series) > 1)
    if not drawn:
        return None
    every = [one for panel in drawn for one in panel.series]
    return Lines("Speed", _note([model.measurement for model in models], every, "deviation"), drawn)


def classes(inputs: Inputs) -> Bars | None:
    """The bytes of every kind of tensor by what it is stored as, largest first; small ones are one bar."""
    lock = inputs.lock
    kinds = sorted(lock.classes, key=lambda kind: (-kind.bytes, kind.name, kind.precision))
    if len(kinds) < 2 or lock.bytes <= 0:
        return None
    large = [kind for kind in kinds[: _BARS - 1] if kind.bytes >= _SMALL * lock.bytes]
    small = kinds[len(large) :]
    groups = [[kind] for kind in (kinds if len(small) == 1 else large)] + ([small] if len(small) > 1 else [])
    average = f"{figures.byte_size(lock.bytes)} at {figures.bits(lock.bits_per_weight)} bits per weight"
    return Bars("Where the bytes are", average, tuple(_bar(group, lock.bytes) for group in groups))


def _models(inputs: Inputs, measure: str) -> Iterator[_Model]:
    """This model first, then its base, its siblings, and what other programs measured."""
    found = [one for one in inputs.evidence.measurements if one.measure == measure]
    for one in found:
        if one.subject == "quantized":
            yield _Model(OWN, inputs.lock.bytes, one, own=True)
    for one in found:
        if one.subject == "base":
            yield _Model(BASE, inputs.lock.base.bytes, one, own=False)
    for sibling in inputs.siblings:
        for one in sibling.evidence.measurements:
            if one.measure == measure and one.subject == "quantized":
                yield _Model(visible(sibling.label, _LABEL), sibling.bytes, one, own=False)
    for one in found:
        if one.subject not in {"quantized", "base"}:
            yield _Model(visible(one.subject, _LABEL), None, one, own=False)


def _size_and_figure(model: _Model, measure: str) -> Point | None:
    key, metric = _FIGURES[measure]
    value, error = (number(model.measurement.values, name) for name in (key, metric.error))
    if value is None or not model.bytes:
        return None
    return Point(float(model.bytes), value, error, figures.with_error(value, error))


def _panel(models: Sequence[_Model], kind: str, heading: str, axis: str) -> Panel:
    series = []
    for model in models:
        program = model.measurement.harness
        named = "" if program == models[0].measurement.harness else f" ({visible(program, _LABEL)})"
        if points := tuple(_points(model.measurement, kind)):
            series.append(Series(f"{model.label}{named}", points, model.own, model.reported))
    return Panel(heading, axis, tuple(series))


def _points(measurement: Measurement, kind: str) -> Iterator[Point]:
    """Of the lengths that an axis of powers can show."""
    rows = cast("Sequence[dict[str, Json]]", measurement.values.get(kind, ()))
    for row in sorted(rows, key=lambda row: number(row, "tokens") or 0):
        tokens, speed = number(row, "tokens"), number(row, "tokens_per_second")
        if tokens and speed and tokens > 0 and speed > 0:
            rate = Rate(speed, number(row, "deviation"), None)
            yield Point(tokens, speed, rate.deviation, str(rate))


def _bar(kinds: Sequence[TensorClass], total: int) -> Bar:
    nbytes, parameters = sum(kind.bytes for kind in kinds), sum(kind.parameters for kind in kinds)
    return Bar(
        label=visible(kinds[0].name, _LABEL) if len(kinds) == 1 else f"{len(kinds)} others",
        stored=visible(", ".join(dict.fromkeys(kind.precision for kind in kinds)), _LABEL),
        bytes=nbytes,
        share=nbytes / total,
        bits=8 * nbytes / parameters if parameters else 0.0,
    )


def _note(way: Sequence[Measurement], series: Sequence[Series], error: str) -> str:
    """How the first of them was measured, as far as one line goes, and what the marks mean."""
    how = visible(", ".join(_how(way[0])), _NOTE)
    if how and len({one.harness for one in way}) > 1:
        how += ", where no other program is named"
    errors = any(point.error is not None for one in series for point in one.points)
    reported = [one.reported for one in series]
    marks = "reported, not measured here" if all(reported) else "hollow: reported elsewhere" if any(reported) else ""
    return "; ".join(part for part in (how, f"± one standard {error}" if errors else "", marks) if part)


def _how(measurement: Measurement) -> Iterator[str]:
    settings = measurement.settings
    if measurement.imported:
        yield " ".join(str(settings[key]) for key in ("harness", "build") if key in settings)
    if isinstance(text := settings.get("text"), str):
        yield text
    if isinstance(windows := settings.get("windows"), int) and isinstance(window := settings.get("window"), int):
        yield f"{figures.grouped(windows)} windows of {figures.grouped(window)} tokens"
    if backend := settings.get("backend"):
        yield f"on {BACKENDS.get(str(backend), str(backend))}"
