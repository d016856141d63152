"""Opens a model folder for measuring, resident or layer by layer, whichever the memory allows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipeline.errors import UsageError
from pipeline.evaluate.forward import Folder, compute_of, load
from pipeline.evaluate.memory import available
from pipeline.evaluate.model import arrays
from pipeline.evaluate.read_ahead import ReadAhead
from pipeline.evaluate.streamed import Streamed

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.evaluate.forward import Loaded, Weights

How: TypeAlias = Literal["auto", "resident", "streamed"]

_SHARE = 0.6  # of the memory there is: activations, logits and everybody else need the rest


def open_weights(folder: Path, how: How = "auto", *, trust_remote_code: bool = False) -> Weights:
    """Raises as `forward.load` does."""
    if chosen(how, folder, trust_remote_code) == "resident":
        return load(folder, trust_remote_code=trust_remote_code)
    opened = Folder(folder, trust_remote_code)
    again = partial(opened.open, stored_experts=True)
    model, tokenizer = again(), opened.tokenizer()
    with opened.explained():
        return Streamed(model, again, tokenizer, compute_of(model), ReadAhead(folder))


def chosen(how: How, folder: Path, trust_remote_code: bool) -> Literal["resident", "streamed"]:
    """`auto` is resident where that takes a good half of the memory there is at most."""
    if how != "auto":
        return how
    return "resident" if resident_bytes(Folder(folder, trust_remote_code)) <= _SHARE * available() else "streamed"


def open_resident(folder: Path, what: str, hint: str, *, trust_remote_code: bool = False) -> Loaded:
    """The model, whole in memory; `UsageError` that says `what` cannot be done when it does not fit."""
    needed, there = resident_bytes(Folder(folder, trust_remote_code)), available()
    if needed > there:
        raise UsageError(
            f"{what}: its weights take {needed / 1e9:.1f} GB here, and {there / 1e9:.1f} GB of memory are left",
            hint=hint,
        )
    return load(folder, trust_remote_code=trust_remote_code)


def resident_bytes(folder: Folder) -> int:
    """What its weights would take in memory, in the form in which they are computed with."""
    return sum(array.nbytes for array in arrays(folder.open()))
