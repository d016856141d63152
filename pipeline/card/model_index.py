"""The figures that the Hub shows beside a model: its perplexity by this pipeline and by others, with the settings."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.card.figures import decimals
from pipeline.metadata.values import is_address, is_hub_id
from pipeline.release.metrics import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.card.inputs import Inputs
    from pipeline.card.quality import Perplexity, Quality
    from pipeline.evidence import Measurement
    from pipeline.manifest import Json
    from pipeline.release.schema import Release

_TASK: Mapping[str, Json] = {"type": "text-generation", "name": "Text Generation"}


def model_index(inputs: Inputs, quality: Quality) -> list[Json]:
    """Empty without any figure."""
    results: list[Json] = []
    if quality.quantized and math.isfinite(quality.quantized.value):
        results.append(_own(inputs.release, quality.quantized))
    for one in inputs.evidence.measurements:
        if one.measure == "perplexity" and one.subject == "quantized" and one.imported:
            results += _imported(one)
    return [{"name": inputs.release.target.repo.partition("/")[2], "results": results}] if results else []


def _own(release: Release, figure: Perplexity) -> dict[str, Json]:
    digits = decimals(figure.error)
    error = None if figure.error is None else round(figure.error, digits)
    metric = _metric(round(figure.value, digits), error, figure.tokens)
    return {"task": dict(_TASK), "dataset": _dataset(release, figure), "metrics": [metric]}


def _imported(one: Measurement) -> list[Json]:
    """As it was reported, to the last digit, and by whom."""
    value, text = number(one.values, "perplexity"), str(one.settings.get("text", ""))
    if value is None:
        return []
    settings = {key: one.settings[key] for key in sorted(one.settings) if key not in {"text", "reported"}}
    result: dict[str, Json] = {
        "task": dict(_TASK),
        "dataset": {"type": _slug(text), "name": text or "unknown", "args": settings},
        "metrics": [_metric(value, number(one.values, "standard_error"), one.values.get("tokens"))],
    }
    address = one.settings.get("reported")
    source: dict[str, Json] = {"source": {"name": "Reported", "url": address}} if is_address(address) else {}
    return [result | source]


def _metric(value: float, error: Json, tokens: Json) -> Json:
    args: dict[str, Json] = {
        name: one for name, one in (("standard_error", error), ("tokens", tokens)) if one is not None
    }
    return {"type": "perplexity", "name": "Perplexity", "value": value, **({"args": args} if args else {})}


def _dataset(release: Release, figure: Perplexity) -> dict[str, Json]:
    """What was measured, and how, without what names the text twice."""
    text = release.evaluate.text
    how = {key: figure.settings[key] for key in sorted(figure.settings) if key != "text"}
    if text.on_hub:
        repo, revision, file = text.on_hub
        return {"type": repo, "name": f"{repo}, {file}", "revision": revision, "args": {"file": file, **how}}
    name = text.dataset or str(text.path)
    return {"type": name if text.dataset and is_hub_id(name) else _slug(Path(name).stem), "name": name, "args": how}


def _slug(name: str) -> str:
    """The Hub wants a data set's id; what has none gets one from its name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name[:90]).strip("-") or "text"
