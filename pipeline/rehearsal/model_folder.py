"""Writes a Hugging Face model folder without any library that could change its bytes from one version to the next."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.manifest import Json


@dataclass(frozen=True)
class Tensor:
    """A bfloat16 tensor whose bit patterns `read` makes when they are written, so that one at a time is in memory."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], NDArray[np.uint16]]

    @property
    def parameters(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def bytes(self) -> int:
        return 2 * self.parameters


def write_json(path: Path, value: Json) -> None:
    path.write_bytes(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def write_shards(folder: Path, tensors: Sequence[Tensor], limit: int) -> None:
    """Safetensors shards of at most `limit` bytes of weights each, in the order given, and their index."""
    shards = _split(tensors, limit)
    weight_map: dict[str, Json] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        weight_map |= {tensor.name: name for tensor in shard}
        with (folder / name).open("wb") as out:
            out.write(_header(shard))
            for tensor in shard:
                out.write(tensor.read().astype("<u2").tobytes())
    totals: dict[str, Json] = {
        "total_parameters": sum(tensor.parameters for tensor in tensors),
        "total_size": sum(tensor.bytes for tensor in tensors),
    }
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": totals, "weight_map": dict(sorted(weight_map.items()))},
    )


def _split(tensors: Sequence[Tensor], limit: int) -> list[list[Tensor]]:
    shards: list[list[Tensor]] = [[]]
    for tensor in tensors:
        if shards[-1] and sum(other.bytes for other in shards[-1]) + tensor.bytes > limit:
            shards.append([])
        shards[-1].append(tensor)
    return shards


def _header(shard: Sequence[Tensor]) -> bytes:
    # transformers refuses a file whose metadata does not name a framework; "pt" is what everybody writes.
    entries: dict[str, Json] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in shard:
        end = offset + tensor.bytes
        entries[tensor.name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header
