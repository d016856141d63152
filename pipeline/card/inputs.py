"""Everything that a card is made from, beside the templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.evidence import Evidence
    from pipeline.lock import Lock
    from pipeline.release.recipe import Recipe
    from pipeline.release.schema import Release


WEB = "https://huggingface.co"


@dataclass(frozen=True)
class Sibling:
    """A release of the same base that the card compares with; its own model is the subject "quantized" of `evidence`.

    address: where it is published, "" where that is not known; bytes, bits_per_weight: of its weights.
    """

    name: str
    label: str
    address: str
    bytes: int | None
    bits_per_weight: float | None
    evidence: Evidence


@dataclass(frozen=True)
class Inputs:
    """released: whether `lock` tells what happened; else it holds what is planned, without digests.

    evidence: measured and imported; siblings: in the order in which the release names them; notes: of notes.md.
    """

    name: str
    release: Release
    recipe: Recipe
    lock: Lock
    evidence: Evidence
    siblings: tuple[Sibling, ...] = ()
    notes: str = ""
    released: bool = True
