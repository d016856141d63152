"""Perplexity of a base model and of what was made of it, and how far the two are apart, on the same tokens."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import provenance
from pipeline.errors import BaseModelError
from pipeline.evaluate.dataset import Sample, sampled
from pipeline.evaluate.divergence import tokenwise
from pipeline.evaluate.forward import batches
from pipeline.evaluate.opening import chosen, open_weights
from pipeline.evaluate.passes import finished, through_layers
from pipeline.evaluate.perplexity import windows
from pipeline.manifest import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.evaluate.divergence import Tokenwise
    from pipeline.evaluate.forward import Compute, Tokens, Weights
    from pipeline.evaluate.opening import How
    from pipeline.manifest import Json

_GENERATION = 1  # raised when the same model on the same tokens would leave other states than before


@dataclass(frozen=True)
class Text:
    """What is measured on: the first `windows` windows of `window` tokens of `content`."""

    content: str
    window: int
    windows: int


@dataclass(frozen=True)
class Examined:
    """A model to measure.

    weights: the digest of its folder; states: where its hidden states are kept, for each text and way of computing in
    a folder of its own, so that no two are ever taken for one another; alone: those of other questions are deleted.
    """

    folder: Path
    weights: str
    states: Path
    trust_remote_code: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Found:
    """computes: how base and result were computed; token_ids: the digest of the tokens."""

    base: Examined
    quantized: Examined
    text: Text | Sample
    tokenwise: Tokenwise
    computes: tuple[Compute, Compute]
    token_ids: str


def compute_states(model: Examined, text: Text | Sample, how: How, advance: Callable[[int], None]) -> Path:
    """Bring the text through all layers of one model, from wherever an earlier run of the same came to.

    Returns the folder of what lies behind the last one.
    """
    weights = open_weights(model.folder, "streamed", trust_remote_code=model.trust_remote_code)
    tokens = _tokens(weights, text)
    if not _are_complete(weights, model, tokens) and chosen(how, model.folder, model.trust_remote_code) == "resident":
        weights = open_weights(model.folder, "resident", trust_remote_code=model.trust_remote_code)
    return _states(weights, model, tokens, advance)


def compare(
    base: Examined, quantized: Examined, text: Text | Sample, how: How, advance: Callable[[int], None]
) -> Found:
    """What the heads of both make of their hidden states; only what lies outside of the layers is loaded.

    States that are not there are computed first. `BaseModelError` when the two read the text as different tokens.
    """
    models = (base, quantized)
    folders = [compute_states(each, text, how, lambda _: None) for each in models]
    opened = [open_weights(each.folder, "streamed", trust_remote_code=each.trust_remote_code) for each in models]
    tokens, others = (_tokens(weights, text) for weights in opened)
    if (tokens != others).any():
        raise BaseModelError(
            "the base and the result read the evaluation text as different tokens, so nothing can be compared",
            hint="The tokenizer files of the result are not those of the base; run the quantize stage again.",
        )
    found = tokenwise(opened[0], opened[1], tokens, (folders[0], folders[1]), advance)
    return Found(base, quantized, text, found, (opened[0].compute, opened[1].compute), _digest(tokens))


def _tokens(weights: Weights, text: Text | Sample) -> Tokens:
    if isinstance(text, Sample):
        return sampled(weights.tokenizer, text)
    return windows(weights.tokenizer, text.content, text.window, text.windows)


def _digest(tokens: Tokens) -> str:
    return hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest()


def _states(weights: Weights, model: Examined, tokens: Tokens, advance: Callable[[int], None]) -> Path:
    """The folder of the hidden states behind the last layer, complete."""
    key = _key(weights, model, tokens)
    folder = _folder(model, key)
    if model.alone and model.states.exists():
        for other in set(model.states.iterdir()) - {folder}:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # releases of the same base may run side by side
        if _are_complete(weights, model, tokens):
            advance(tokens.size - len(tokens))
        else:
            write_atomically(folder / "key.json", json.dumps(key, indent=1) + "\n")
            through_layers(weights, batches(weights, tokens[:, :-1]), folder, advance)
    return folder


def _are_complete(weights: Weights, model: Examined, tokens: Tokens) -> bool:
    folder = _folder(model, _key(weights, model, tokens))
    return finished(folder, len(batches(weights, tokens[:, :-1])))


def _folder(model: Examined, key: Mapping[str, Json]) -> Path:
    return model.states / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def _key(weights: Weights, model: Examined, tokens: Tokens) -> dict[str, Json]:
    """All that decides about the states."""
    tools = provenance.tools()
    return {
        "generation": _GENERATION,
        "weights": model.weights,
        "token_ids": _digest(tokens),
        "batches": [len(batch) for batch in batches(weights, tokens[:, :-1])],
        "compute": [weights.compute.backend, weights.compute.dtype],
        "tools": [tools["mlx"], tools["mlx-lm"]],
    }
