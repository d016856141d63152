"""What the evidence gives to plot: the models of each chart, by their figures, and how these were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pipeline.card import figures
from pipeline.card.charts import Bar, Bars, Lines, Panel, Point, Scatter, Series
from pipeline.card.escape import plain, visible
from pipeline.card.models import OWN, models
from pipeline.card.other_programs import alike
from pipeline.card.speed import BACKENDS, Rate, apart, places
from pipeline.evidence import HARNESS
from pipeline.release.metrics import KL, PERPLEXITY, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.card.inputs import Inputs
    from pipeline.card.models import Model
    from pipeline.evidence import Measurement
    from pipeline.lock import TensorClass
    from pipeline.manifest import Json

_MODELS = 10
_NAMED = 3
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
class _Measured:
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

    Figures of two ways of measuring never share a chart: it shows the way in which most models can be placed.
    """
    known = _measured(inputs, measure)
    ways = [[model for model in known if alike(own.measurement, model.measurement)] for own in known if own.own]
    way = max(ways, key=lambda way: sum(bool(_size_and_figure(model, measure)) for model in way), default=[])
    placed = [(model, point) for model in way if (point := _size_and_figure(model, measure))]
    if len(placed) < 2 or not placed[0][0].own:
        return None
    series = tuple(Series(model.label, (point,), model.own, model.reported) for model, point in placed[:_MODELS])
    heading, axis = _AXES[measure]
    note = _note([model.measurement for model in way], series, "error") + _left_out(len(placed))
    if sizeless := [model.label for model in way if not model.bytes]:
        note += f"; not shown, as its size is not known: {', '.join(sizeless[:_NAMED])}"
    return Scatter(f"{heading} by size", note, "Size of the weights", axis, series)


def speed(inputs: Inputs) -> Lines | None:
    """Tokens per second by length, a line for each model and program; None with fewer than two points of a kind."""
    known = _measured(inputs, "speed")
    found = known[:_MODELS]
    panels = (
        _panel(found, "prompt", "Reading a prompt", "Tokens in the prompt"),
        _panel(found, "generation", "Generating", "Tokens generated"),
    )
    drawn = tuple(panel for panel in panels if sum(len(series.points) for series in panel.series) > 1)
    if not drawn:
        return None
    every = [one for panel in drawn for one in panel.series]
    note = _note([model.measurement for model in found], every, "deviation") + _left_out(len(known))
    return Lines("Speed", note, drawn)


def classes(inputs: Inputs) -> Bars | None:
    """The bytes of every kind of tensor by what it is stored as, largest first; small ones are one bar."""
    lock = inputs.lock
    kinds = sorted(lock.classes, key=lambda kind: (-kind.bytes, kind.name, kind.precision))
    if len(kinds) < 2 or lock.bytes <= 0:
        return None
    large = [kind for kind in kinds[: _BARS - 1] if kind.bytes >= _SMALL * lock.bytes]
    small = kinds[len(large) :]
    groups = [[kind] for kind in (kinds if len(small) == 1 else large)] + ([small] if len(small) > 1 else [])
    planned = "" if inputs.released else ", as planned"
    note = f"{figures.byte_size(lock.bytes)} at {figures.bits(lock.bits_per_weight)} bits per weight{planned}"
    return Bars("Where the bytes are", note, tuple(_bar(group, lock.bytes) for group in groups))


def _measured(inputs: Inputs, measure: str) -> list[_Measured]:
    """The released model first, then its base, its siblings, and the models that only others measured."""
    known = models(inputs, plain(inputs.release.base.repo))
    found = [one for one in known.evidence.measurements if one.measure == measure]
    found.sort(key=lambda one: known.order(one.subject))
    return [_labelled(known.model(one.subject), one, inputs.release.label) for one in found]


def _labelled(model: Model, measurement: Measurement, own: str | None) -> _Measured:
    if measurement.subject != OWN:
        return _Measured(visible(model.label, _LABEL), model.bytes, measurement, own=False)
    label = f"{visible(own, _LABEL)} (this model)" if own else "this model"
    return _Measured(label, model.bytes, measurement, own=True)


def _size_and_figure(model: _Measured, measure: str) -> Point | None:
    key, metric = _FIGURES[measure]
    value, error = (number(model.measurement.values, name) for name in (key, metric.error))
    if value is None or not model.bytes:
        return None
    return Point(float(model.bytes), value, error, figures.with_error(value, error))


def _panel(found: Sequence[_Measured], kind: str, heading: str, axis: str) -> Panel:
    every = [model.measurement for model in found]
    series = []
    for model in found:
        one = model.measurement
        # Of two lines of one model, by what they differ; else its program, where that is not the first one's.
        words = apart(one, every) or (one.harness if one.harness != every[0].harness else "")
        if points := tuple(_points(one, kind)):
            series.append(Series(model.label, points, model.own, model.reported, visible(words, _LABEL)))
    return Panel(heading, axis, tuple(series))


def _points(measurement: Measurement, kind: str) -> Iterator[Point]:
    """Of the lengths that an axis of powers can show."""
    rows = cast("Sequence[dict[str, Json]]", measurement.values.get(kind, ()))
    rates = {
        tokens: Rate(speed, number(row, "deviation"), None)
        for row in rows
        if (tokens := number(row, "tokens")) and (speed := number(row, "tokens_per_second")) and min(tokens, speed) > 0
    }
    for tokens, rate in sorted(rates.items()):
        yield Point(tokens, rate.tokens_per_second, rate.deviation, rate.text(places(rates.values())))


def _bar(kinds: Sequence[TensorClass], total: int) -> Bar:
    nbytes, parameters = sum(kind.bytes for kind in kinds), sum(kind.parameters for kind in kinds)
    stored = list(dict.fromkeys(kind.precision for kind in kinds))
    return Bar(
        label=visible(kinds[0].name, _LABEL) if len(kinds) == 1 else f"{len(kinds)} others",
        stored=visible(", ".join(stored), _LABEL) if len(stored) <= 2 else f"{len(stored)} precisions",
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


def _left_out(known: int) -> str:
    return f"; the first {_MODELS} of {known}" if known > _MODELS else ""


def _how(measurement: Measurement) -> Iterator[str]:
    settings = measurement.settings
    named = " ".join(str(settings[key]) for key in ("harness", "build") if key in settings)
    yield named or f"measured by {HARNESS}"
    if isinstance(text := settings.get("text"), str):
        yield text
    if isinstance(windows := settings.get("windows"), int) and isinstance(window := settings.get("window"), int):
        yield f"{figures.grouped(windows)} windows of {figures.grouped(window)} tokens"
    if backend := settings.get("backend"):
        yield f"on {BACKENDS.get(str(backend), str(backend))}"
