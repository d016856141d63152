"""A model folder ready to compute, and how it computes: part of every figure."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import mlx.core as mx
import numpy as np
from mlx_lm.utils import load_config, load_model, load_tokenizer

from pipeline.errors import BaseModelError
from pipeline.evaluate import cpu
from pipeline.evaluate.crews import step_through
from pipeline.evaluate.decoder import decoder_layers, watch
from pipeline.evaluate.model import arrays, hidden_arrays
from pipeline.weights.config import tokenizer_is_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.evaluate.crews import Job
    from pipeline.evaluate.model import Model, Tokenizer
    from pipeline.manifest import Json

    Tokens = NDArray[np.int32]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_load_model: Callable[..., tuple[Model, dict[str, Json]]] = load_model
_load_config: Callable[[Path], dict[str, Any]] = load_config
_load_tokenizer: Callable[..., Tokenizer] = load_tokenizer
_TOKENS_AT_ONCE = 2048  # whose logits over 163,840 words take 1.3 GB


@dataclass(frozen=True)
class Compute:
    """backend: where mlx computes; dtype: of the activations; device: the chip's name."""

    backend: Literal["cpu", "metal", "cuda"]
    dtype: str
    device: str


class Weights(Protocol):
    """A model that can be computed, wherever its weights are. What is not in a decoder layer is in memory."""

    @property
    def model(self) -> Model: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def compute(self) -> Compute: ...

    @property
    def layers(self) -> int:
        """How many decoder layers it has."""

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all jobs; each calls what it is given with the number of a layer before that layer computes."""


@dataclass(frozen=True)
class Loaded:
    """A resident model (`Weights`); its arrays are computed, so any thread may measure with it."""

    model: Model
    tokenizer: Tokenizer
    compute: Compute

    @property
    def layers(self) -> int:
        return len(decoder_layers(self.model))

    def run(self, jobs: Sequence[Job]) -> None:
        with computing(self):
            step_through(self.model, watch(self.model), jobs, width(self.compute), self)

    def begin(self, layer: int) -> None:
        """Every layer is there (`pipeline.evaluate.crews.Visit`)."""

    def end(self, layer: int) -> None:
        """It stays."""


def load(folder: Path, *, trust_remote_code: bool = False) -> Loaded:
    """The model and the tokenizer of a folder as mlx-lm loads them, except that a CPU computes everything in float32.

    `BaseModelError` when the folder cannot be loaded, or brings code of its own that was not trusted.
    """
    opened = Folder(folder, trust_remote_code)
    model = opened.open()
    with opened.explained():
        for array in arrays(model):
            mx.eval(array)
        # An array that this thread made lazily can be computed in no other.
        mx.eval(hidden_arrays(model))
    return Loaded(model, opened.tokenizer(), compute_of(model))


@dataclass(frozen=True)
class Folder:
    """A model folder, from which nothing is loaded yet; the methods raise `BaseModelError` for one that is broken."""

    path: Path
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.trust_remote_code:
            refuse_remote_code(self.path)
        # tiktoken caches a vocabulary under a hash of its path: another model in the same place would get the old one.
        os.environ["TIKTOKEN_CACHE_DIR"] = ""

    def open(self, *, stored_experts: bool = False) -> Model:
        """The model, whose arrays are read when they are evaluated; `stored_experts` as in `cpu.use_float32`."""
        with self.explained():
            model, _ = _load_model(self.path, lazy=True, trust_remote_code=self.trust_remote_code)
            if _on_cpu():
                cpu.use_float32(model, stored_experts=stored_experts)
        return model

    def tokenizer(self) -> Tokenizer:
        with self.explained():
            trust = {"trust_remote_code": self.trust_remote_code}
            return _load_tokenizer(self.path, trust, eos_token_ids=_load_config(self.path).get("eos_token_id"))

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """What mlx-lm raises, as a `BaseModelError`."""
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
            raise BaseModelError(
                f"mlx-lm cannot load the model in {self.path.name}: {error}",
                hint="Is every file of the model there, and is its architecture one that this mlx-lm knows?",
            ) from error


def computing(weights: Weights) -> contextlib.AbstractContextManager[None]:
    """What surrounds every use of the model."""
    return cpu.fast() if weights.compute.backend == "cpu" else contextlib.nullcontext()


def in_turn(
    weights: Weights, function: Callable[[_Item], _Result], items: Iterable[_Item], done: Callable[[_Result], None]
) -> None:
    """`function` of all items, as many at a time as the backend bears; `done` hears of the results in order."""
    if weights.compute.backend == "cpu":
        cpu.in_threads(function, items, done)
    else:
        for item in items:
            done(function(item))


def width(compute: Compute) -> int:
    """How many passes compute at a time."""
    return cpu.threads() if compute.backend == "cpu" else 1


def batches(weights: Weights, windows: Tokens) -> list[Tokens]:
    """Windows (count, length) in batches that the backend computes best."""
    size = 1 if weights.compute.backend == "cpu" else max(1, _TOKENS_AT_ONCE // windows.shape[1])
    return np.split(windows, range(size, len(windows), size))


def refuse_remote_code(folder: Path) -> None:
    """Say no to a folder whose tokenizer or architecture is Python code of its own; looks at JSON, runs nothing."""
    config, tokenizer_config = (_read(folder / name) for name in ("config.json", "tokenizer_config.json"))
    hint = "Read the .py files of the base repository; if you trust them, set `base.trust_remote_code: true`."
    if tokenizer_is_code(tokenizer_config, config):
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


def compute_of(model: Model) -> Compute:
    """What a model computes with here, once it is prepared."""
    # Activations have the dtype of the norms, and of the scales except in the packed modes.
    floating = [array.dtype for array in arrays(model) if mx.issubdtype(array.dtype, mx.floating)]
    dtype = str(max(floating, key=floating.count)).removeprefix("mlx.core.") if floating else "unknown"
    return here("float32" if _on_cpu() else dtype)


def here(dtype: str) -> Compute:
    """What mlx computes with on this machine."""
    device = str(mx.device_info().get("device_name", "unknown"))
    return Compute("cpu" if _on_cpu() else "metal" if mx.metal.is_available() else "cuda", dtype, device)


def _on_cpu() -> bool:
    return bool(mx.default_device() == mx.cpu)
