"""Opens a model folder for measuring, resident or layer by layer, whichever the memory allows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipeline.evaluate.forward import Folder, compute_of, load
from pipeline.evaluate.memory import available
from pipeline.evaluate.model import arrays
from pipeline.evaluate.read_ahead import ReadAhead
from pipeline.evaluate.streamed import Streamed

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.evaluate.forward import Weights

How: TypeAlias = Literal["auto", "resident", "streamed"]

_SHARE = 0.6  # of the memory there is: activations, logits and everybody else need the rest


def open_weights(folder: Path, how: How = "auto", *, trust_remote_code: bool = False) -> Weights:
    """`auto` is resident where that takes a good half of the memory there is at most; raises as `forward.load` does."""
    opened = Folder(folder, trust_remote_code)
    if how == "auto":
        how = "resident" if resident_bytes(opened) <= _SHARE * available() else "streamed"
    if how == "resident":
        return load(folder, trust_remote_code=trust_remote_code)
    tokenizer, compute = opened.tokenizer(), compute_of(opened.open())
    with opened.explained():
        return Streamed(partial(opened.open, stored_experts=True), tokenizer, compute, ReadAhead(folder))


def resident_bytes(folder: Folder) -> int:
    """What its weights would take in memory, in the form in which they are computed with."""
    return sum(array.nbytes for array in arrays(folder.open()))
