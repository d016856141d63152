"""Under which license a model is released: the one that its release states, else the one that its base's card does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.card.inputs import WEB
from pipeline.errors import UsageError
from pipeline.metadata.values import OTHER, is_file
from pipeline.release.find import release_file

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.card.inputs import Inputs
    from pipeline.metadata.base_card import BaseCard

_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt")
_ALIKE = re.compile(r"licen[cs]e([._-].*)?", re.IGNORECASE)


@dataclass(frozen=True)
class License:
    """id: as the Hub knows it; name and link only of one that is `other`.

    link: a file of the model, or an address where it comes with none; "" where no text of it is known.
    """

    id: str
    name: str = ""
    link: str = ""


def license_of(inputs: Inputs) -> License:
    """Raises: UsageError when nobody states one, or nobody names it."""
    stated, card = inputs.release.license, inputs.lock.base.card
    if stated and stated.id != OTHER:
        return License(stated.id)
    files = {file.path for file in inputs.lock.model}
    if stated:
        return License(OTHER, stated.name or "", stated.link or _license_file(files))
    if card is None or not card.license:
        reads = "" if card else " Or run `pipeline release`, which reads the card when it begins."
        raise UsageError(
            f"nobody states the license of {inputs.name}: {_missing(inputs, card)}", hint=_hint(inputs) + reads
        )
    if card.license != OTHER:
        return License(card.license)
    if not card.license_name:
        raise UsageError(
            f"the card of {inputs.release.base.repo} says `license: other` and does not name it", hint=_hint(inputs)
        )
    return License(OTHER, card.license_name, _link(inputs, card.license_link, files))


def _missing(inputs: Inputs, card: BaseCard | None) -> str:
    repo = inputs.release.base.repo
    if card is None:
        return f"{release_file(inputs.name)} has no `license`, and what the card of {repo} says is not known yet"
    return f"{release_file(inputs.name)} has no `license`, and neither has the card of {repo} at that commit"


def _hint(inputs: Inputs) -> str:
    return (
        f"Say it in {release_file(inputs.name)}, such as `license: apache-2.0`, or "
        "`license: {name: modified-mit, link: LICENSE}` for one that the Hub does not know."
    )


def _license_file(files: Collection[str]) -> str:
    """The usual one, or else the first that is called alike, such as `LICENSE-MODEL`."""
    alike = sorted(name for name in files if _ALIKE.fullmatch(name) and is_file(name))
    return next((name for name in (*_FILES, *alike) if name in files), "")


def _link(inputs: Inputs, link: str, files: Collection[str]) -> str:
    """The base's own link as it holds for the model: to the same file if that comes along, else to where it is."""
    base = inputs.release.base
    inside = re.fullmatch(rf"{WEB}/{re.escape(base.repo)}/(?:blob|resolve|raw)/[^/]+/([^?#]+)(?:[?#].*)?", link)
    path = inside[1] if inside else link or _license_file(files)
    if path in files or not is_file(path):
        return path if path in files else link
    return f"{WEB}/{base.repo}/blob/{base.revision}/{path}"
