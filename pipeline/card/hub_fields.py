"""What the Hub is told about the model in the card's front matter, in a fixed order."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.card.escape import visible
from pipeline.card.figures import decimals
from pipeline.card.licenses import license_of
from pipeline.metadata.values import is_hub_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.card.inputs import Inputs
    from pipeline.card.quality import Perplexity, Quality
    from pipeline.lock import Lock
    from pipeline.manifest import Json
    from pipeline.release.schema import Release


def hub_fields(inputs: Inputs, quality: Quality) -> dict[str, Json]:
    """Keys in the order in which they stand on the card; keys without a value are left out.

    Raises: UsageError when no license is known.
    """
    release, lock = inputs.release, inputs.lock
    license_, card = license_of(inputs), lock.base.card
    fields: dict[str, Json] = {
        "base_model": release.base.repo,
        "base_model_relation": "quantized",
        "library_name": "mlx",
        "pipeline_tag": lock.pipeline_tag,
        "language": list(release.language or (card.language if card else ())),
        "license": license_.id,
        "license_name": license_.name,
        "license_link": license_.link,
        "tags": _tags(lock),
        "quantized_by": release.target.repo.partition("/")[0],
        "model-index": _model_index(release, quality),
    }
    return {key: _visible(value) for key, value in fields.items() if value}


def _tags(lock: Lock) -> list[Json]:
    precisions = {kind.precision for kind in lock.classes} - {"bfloat16", "float16", "float32"}
    return ["mlx", *(["mixed-precision"] if len(precisions) > 1 else [])]


def _model_index(release: Release, quality: Quality) -> list[Json]:
    figure = quality.quantized
    if figure is None or not math.isfinite(figure.value):
        return []
    result: dict[str, Json] = {
        "task": {"type": "text-generation", "name": "Text Generation"},
        "dataset": _dataset(release, figure),
        "metrics": [
            {
                "type": "perplexity",
                "name": "Perplexity",
                "value": round(figure.value, decimals(figure.error)),
                "args": _known({"standard_error": _rounded(figure), "tokens": figure.tokens}),
            }
        ],
    }
    return [{"name": release.target.repo.partition("/")[2], "results": [result]}]


def _dataset(release: Release, figure: Perplexity) -> dict[str, Json]:
    text, how = release.evaluate.text, _settings(figure.settings)
    if text.on_hub:
        repo, revision, file = text.on_hub
        return {"type": repo, "name": f"{repo}, {file}", "revision": revision, "args": {"file": file, **how}}
    name = text.dataset or str(text.path)
    return {"type": name if text.dataset and is_hub_id(name) else _slug(name), "name": name, "args": how}


def _slug(name: str) -> str:
    """The Hub wants a data set's id; a file of the release repository has none, and gets one from its name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", Path(name).stem).strip("-")[:90].strip("-") or "text"


def _rounded(figure: Perplexity) -> float | None:
    return None if figure.error is None else round(figure.error, decimals(figure.error))


def _known(fields: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in fields.items() if value is not None}


def _settings(settings: Mapping[str, Json]) -> dict[str, Json]:
    """How the figure was taken, without the text, which the fields above name."""
    return {key: settings[key] for key in sorted(settings) if key != "text"}


def _visible(value: Json) -> Json:
    """Hidden and direction marks would let a field show something else than it says."""
    match value:
        case str():
            return visible(value)
        case list():
            return [_visible(one) for one in value]
        case dict():
            return {visible(key): _visible(one) for key, one in value.items()}
        case _:
            return value
