"""What the Hub is told about the model in the card's front matter, in a fixed order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.card.escape import visible
from pipeline.card.figures import decimals
from pipeline.card.licenses import LICENSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.card.quality import Perplexity, Quality
    from pipeline.lock import Lock
    from pipeline.manifest import Json
    from pipeline.release.schema import Release


def license_file(lock: Lock) -> str:
    """The license text among the model's files, or "" when there is none."""
    names = ("LICENSE", "LICENSE.md", "LICENSE.txt")
    return next((name for name in names if name in lock.model), "")


def hub_fields(release: Release, lock: Lock, quality: Quality) -> dict[str, Json]:
    """Keys in the order in which they stand on the card; keys without a value are left out."""
    fields: dict[str, Json] = {
        **_license(release, lock),
        "language": list(release.language),
        "library_name": "mlx",
        "pipeline_tag": "text-generation",
        "base_model": release.base.repo,
        "base_model_relation": "quantized",
        "quantized_by": release.target.repo.partition("/")[0],
        "tags": _tags(lock),
        "model-index": _model_index(release, quality),
    }
    return {key: _visible(value) for key, value in fields.items() if value}


def _license(release: Release, lock: Lock) -> dict[str, Json]:
    if release.license in LICENSES:
        return {"license": release.license}
    elsewhere = "" if release.hub == "local" else f"https://huggingface.co/{release.base.repo}"
    return {
        "license": "other",
        "license_name": release.license,
        "license_link": license_file(lock) or elsewhere,
    }


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
    return {"type": name, "name": name, "args": how}


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
