"""A model folder ready to compute, and how it computes: part of every figure."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import mlx.core as mx
import numpy as np
from mlx_lm.utils import load_model, load_tokenizer

from pipeline.errors import BaseModelError
from pipeline.evaluate import cpu
from pipeline.evaluate.model import arrays, hidden_arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.evaluate.model import Model, Tokenizer
    from pipeline.manifest import Json

    Tokens = NDArray[np.int32]

_Result = TypeVar("_Result")
_load_model: Callable[..., tuple[Model, dict[str, Json]]] = load_model
_load_tokenizer: Callable[..., Tokenizer] = load_tokenizer
_LOGITS_AT_ONCE = 1 << 30  # bytes: eight windows of 512 tokens over a vocabulary of 65,536


@dataclass(frozen=True)
class Compute:
    """backend: where mlx computes; dtype: of the activations; device: the chip's name."""

    backend: Literal["cpu", "metal", "cuda"]
    dtype: str
    device: str


@dataclass(frozen=True)
class Loaded:
    """A resident model; its arrays are computed, so any thread may measure with it."""

    model: Model
    tokenizer: Tokenizer
    compute: Compute


def load(folder: Path, *, trust_remote_code: bool = False) -> Loaded:
    """The model and the tokenizer of a folder as mlx-lm loads them, except that a CPU computes everything in float32.

    `BaseModelError` when the folder cannot be loaded, or brings code of its own that was not trusted.
    """
    if not trust_remote_code:
        refuse_remote_code(folder)
    # tiktoken caches a vocabulary under a hash of its path: another model in the same place would get the old one.
    os.environ["TIKTOKEN_CACHE_DIR"] = ""
    trust = {"trust_remote_code": trust_remote_code}
    try:
        model, config = _load_model(folder, lazy=True, **trust)
        tokenizer = _load_tokenizer(folder, trust, eos_token_ids=config.get("eos_token_id"))
        compute = _prepare(model)
        # An array that this thread made lazily can be computed in no other.
        mx.eval(hidden_arrays(model))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise BaseModelError(
            f"mlx-lm cannot load the model in {folder.name}: {error}",
            hint="Is every file of the model there, and is its architecture one that this mlx-lm knows?",
        ) from error
    return Loaded(model, tokenizer, compute)


def logits(loaded: Loaded, tokens: Tokens) -> mx.array:
    """Float32 logits (sequences, length, vocabulary) of `tokens` (sequences, length); call it within `computing`."""
    return loaded.model(mx.array(tokens)).astype(mx.float32)


def computing(loaded: Loaded) -> contextlib.AbstractContextManager[None]:
    """What surrounds every use of the model."""
    return cpu.fast() if loaded.compute.backend == "cpu" else contextlib.nullcontext()


def each(
    loaded: Loaded, function: Callable[[Tokens], _Result], windows: Tokens, done: Callable[[_Result], None]
) -> None:
    """`function` of all windows (count, length) in batches; `done` hears of the results in order, in this thread."""
    on_cpu = loaded.compute.backend == "cpu"
    size = 1 if on_cpu else max(1, _LOGITS_AT_ONCE // (4 * windows.shape[1] * len(loaded.tokenizer)))
    batches = np.split(windows, range(size, len(windows), size))
    with computing(loaded):
        if on_cpu:
            cpu.in_threads(function, batches, done)
        else:
            for batch in batches:
                done(function(batch))


def refuse_remote_code(folder: Path) -> None:
    """Say no to a folder whose tokenizer or architecture is Python code of its own; looks at JSON, runs nothing."""
    config, tokenizer_config = (_read(folder / name) for name in ("config.json", "tokenizer_config.json"))
    hint = "Read the .py files of the base repository; if you trust them, set `base.trust_remote_code: true`."
    for where in (tokenizer_config, config):
        automatic = where.get("auto_map", {})
        if not isinstance(automatic, dict) or "AutoTokenizer" in automatic:
            raise BaseModelError(
                f"the tokenizer of {folder.name} is Python code of its own, and that code is not trusted. Without it "
                "transformers would silently build another tokenizer with other token ids, and every figure would be "
                "wrong.",
                hint=hint,
            )
    if "model_file" in config:
        raise BaseModelError(
            f"the architecture of {folder.name} is Python code of its own ({config['model_file']}), and that code is "
            "not trusted.",
            hint=hint,
        )


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BaseModelError(f"{path.parent.name}/{path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BaseModelError(f"{path.parent.name}/{path.name} is not a JSON object")
    return content


def _prepare(model: Model) -> Compute:
    device = str(mx.device_info().get("device_name", "unknown"))
    if mx.default_device() == mx.cpu:
        cpu.use_float32(model)
        return Compute("cpu", "float32", device)
    mx.eval(model.parameters())
    # Activations have the dtype of the norms, and of the scales except in the packed modes.
    floating = [array.dtype for array in arrays(model) if mx.issubdtype(array.dtype, mx.floating)]
    dtype = str(max(floating, key=floating.count)).removeprefix("mlx.core.") if floating else "unknown"
    return Compute("metal" if mx.metal.is_available() else "cuda", dtype, device)
