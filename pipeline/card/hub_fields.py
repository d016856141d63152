"""What the Hub is told about the model in the card's front matter, in a fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.card.escape import visible
from pipeline.card.licenses import license_of
from pipeline.card.model_index import model_index

if TYPE_CHECKING:
    from pipeline.card.inputs import Inputs
    from pipeline.card.quality import Quality
    from pipeline.lock import Lock
    from pipeline.manifest import Json


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
        "model-index": model_index(inputs, quality),
    }
    return {key: _visible(value) for key, value in fields.items() if value}


def _tags(lock: Lock) -> list[Json]:
    precisions = {kind.precision for kind in lock.classes} - {"bfloat16", "float16", "float32"}
    return ["mlx", *(["mixed-precision"] if len(precisions) > 1 else [])]


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
