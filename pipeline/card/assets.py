"""The plots as files beside the card: what is wrong with those that are there, and how that is put right.

A plot is compared by the digest that it carries, of the figures and the style that it was drawn from, and not by its
pixels: another version of matplotlib or of FreeType places them a little otherwise, and a card that is right on the
machine that made the release would be wrong on every other one. For the same reason a plot that is right stays as it is
when a card is written; a release draws all of them, so that what is published shows what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.card import png
from pipeline.card.plots import FOLDER, KEYWORD, draw
from pipeline.manifest import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.card.plots import Plot


def wrong(folder: Path, wanted: Sequence[Plot]) -> dict[str, str]:
    """Paths below the release's `folder` and what is wrong with them, in words; pictures of others are left alone."""
    found = {plot.path: _wrong(folder / plot.path, plot) for plot in wanted}
    surplus = (f"{FOLDER}/{path.name}" for path in sorted((folder / FOLDER).glob("*.png")) if _digest(path))
    found |= {path: "shows what the card no longer does" for path in surplus if path not in found}
    return {path: why for path, why in found.items() if why}


def write(folder: Path, wanted: Sequence[Plot], *, anew: bool = False) -> tuple[str, ...]:
    """Put right what is `wrong`, or draw everything anew, and the paths of what was touched."""
    drawn = {plot.path: plot for plot in wanted}
    touched = wrong(folder, wanted) | (dict.fromkeys(drawn, "") if anew else {})
    for path in touched:
        if path in drawn:
            write_atomically(folder / path, draw(drawn[path]))
        else:
            (folder / path).unlink()
    return tuple(touched)


def _wrong(path: Path, plot: Plot) -> str:
    if not path.is_file():
        return "is missing"
    return "" if _digest(path) == plot.digest else "was drawn from other figures, or in another way"


def _digest(path: Path) -> str | None:
    return png.text(path.read_bytes(), KEYWORD) if path.is_file() else None
