"""The plots of a card: which ones there is evidence for, in words for those who cannot see them, and as pictures.

Which plots there are and what they say needs no drawing: matplotlib is imported by `draw` only.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pipeline.card import alt, plotted, png
from pipeline.card.escape import Markdown, link
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.card.charts import Chart
    from pipeline.card.inputs import Inputs

FOLDER = "assets"
NAMES = ("quality_by_size", "divergence_by_size", "speed", "bytes_by_class")
"""Of the plots that a card can have, as templates know them."""

KEYWORD = "pipeline-plot"
"""Under which the digest of a plot lies in its file."""

STYLE = 1
"""Raised whenever the same chart is drawn otherwise, so that the plots of all releases are drawn anew."""


@dataclass(frozen=True)
class Plot:
    """path: beside the card, such as `assets/speed.png`; alt: what it shows in words and numbers."""

    path: str
    alt: str
    data: Chart

    @property
    def digest(self) -> str:
        """SHA-256 of what is drawn and of the style in which it is."""
        drawn = {"style": STYLE, "kind": type(self.data).__name__, "data": asdict(self.data)}
        return hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()


def plots(inputs: Inputs) -> tuple[Plot, ...]:
    """Those for which there is evidence, in the order of `NAMES`: a comparison needs two points."""
    return tuple(_plots(inputs))


def draw(plot: Plot) -> bytes:
    """An opaque PNG, the same bytes for the same plot with the same matplotlib, that carries the plot's digest.

    Raises: PipelineError where a person's settings keep matplotlib from loading.
    """
    # It tells where it keeps its list of fonts when the home folder cannot be written, and what it thinks of a person's
    # settings, none of which matters here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        from pipeline.card.drawing import pixels
    except (ImportError, ValueError) as error:
        raise PipelineError(
            f"the plots of the card cannot be drawn, since matplotlib does not load: {error}",
            hint="Unset MPLBACKEND, and take any `matplotlibrc` out of the way, or correct what is wrong in them.",
        ) from error
    return png.encode(*pixels(plot.data), text=(KEYWORD, plot.digest))


def shown(found: tuple[Plot, ...]) -> Mapping[str, Markdown]:
    """The image of each plot in Markdown, by the name of the plot."""
    names = {_path(name): name for name in NAMES}
    return {names[plot.path]: Markdown(f"!{link(plot.alt, plot.path)}") for plot in found}


def _plots(inputs: Inputs) -> Iterator[Plot]:
    charts = (
        plotted.quality(inputs, "perplexity"),
        plotted.quality(inputs, "divergence"),
        plotted.speed(inputs),
        plotted.classes(inputs),
    )
    for name, chart in zip(NAMES, charts, strict=True):
        if chart:
            yield Plot(_path(name), alt.words(chart), chart)


def _path(name: str) -> str:
    return f"{FOLDER}/{name}.png"
