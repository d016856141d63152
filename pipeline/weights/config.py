"""config.json as mlx-lm reads and writes it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.manifest import Json

_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_CASTS = {"float16", "bfloat16", "float32"}


def decode(file: str, content: bytes | str) -> dict[str, Json]:
    """The table in a JSON file, infinities and NaN untagged; `BaseModelError` when there is none."""
    try:
        table = untag_floats(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{file} is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise BaseModelError(f"{file} is not a table")
    return table


def cast_dtype(config: Mapping[str, Json]) -> str | None:
    """The dtype that `mlx_lm.convert` casts floating weights to; None leaves each as it is."""
    dtype = config.get("torch_dtype")
    text_config = config.get("text_config")
    if dtype is None and isinstance(text_config, dict):
        dtype = text_config.get("dtype")
    return dtype if isinstance(dtype, str) and dtype in _CASTS else None


def tokenizer_is_code(*tables: Mapping[str, Json]) -> bool:
    """Whether tokenizer_config.json or config.json names Python code of the repository as the tokenizer."""
    automatic = [table.get("auto_map", {}) for table in tables]
    return any(not isinstance(names, dict) or "AutoTokenizer" in names for names in automatic)


def source_quantization(config: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """How the base is quantized already, where mlx-lm looks for it; None when it is not."""
    text_config = config.get("text_config")
    tables = (config, text_config if isinstance(text_config, dict) else {})
    for key in ("quantization", "quantization_config"):
        for table in tables:
            if quantization := table.get(key):
                return quantization if isinstance(quantization, dict) else {"quant_method": str(quantization)}
    return None


def released(config: Mapping[str, Json], quantization: dict[str, Json], *, keep_vision: bool) -> str:
    """The text of a quantized model's config.json: the base's, with what `quantization` says instead of its own."""
    table = {key: value for key, value in config.items() if key not in {"_name_or_path", "quantization"}}
    if not keep_vision:
        table.pop("vision_config", None)
    table.pop("quantization_config", None)
    text_config = table.get("text_config")
    if isinstance(text_config, dict):
        stale = {"quantization", "quantization_config"}
        table["text_config"] = {key: value for key, value in text_config.items() if key not in stale}
    if quantization:
        # Under both names, as mlx-lm writes them: the Hub's model tree reads the second.
        table["quantization"] = table["quantization_config"] = quantization
    return json.dumps(tag_floats(dict(sorted(table.items()))), indent=4)


def untag_floats(value: Json) -> Json:
    """Infinities and NaN as floats: transformers writes them as {"__float__": "Infinity"}, since JSON has none."""
    if isinstance(value, dict):
        if value.keys() == {"__float__"} and (name := str(value["__float__"])) in _FLOATS:
            return _FLOATS[name]
        return {key: untag_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [untag_floats(item) for item in value]
    return value


def tag_floats(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")}
    if isinstance(value, dict):
        return {key: tag_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tag_floats(item) for item in value]
    return value
