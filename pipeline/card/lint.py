"""A card whose front matter breaks the Hub's rules is not written: each problem in a sentence, with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.card.front_matter import parse
from pipeline.errors import CardInvalid
from pipeline.metadata.lint import lint
from pipeline.release.find import release_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pipeline.manifest import Json
    from pipeline.metadata.hub_rules import Finding

# Which key of release.yaml decides what stands in the front matter.
_DECIDES = {
    "license": "license",
    "license_name": "license",
    "license_link": "license",
    "language": "language",
    "base_model": "base.repo",
    "quantized_by": "target.repo",
    "model-index": "evaluate.text",
}


def check(name: str, fields: Mapping[str, Json], files: Collection[str]) -> None:
    """files: the paths of all that stands beside the card. Raises: CardInvalid."""
    if found := lint(fields, files):
        raise CardInvalid(
            tuple(f"the card of {name}: {finding}{_advice(finding)}" for finding in found),
            hint=f"The keys are those of {release_file(name)}; nothing was written. What the Hub knows is listed in "
            "pipeline/metadata/lists, and `python -m pipeline.metadata.refresh` renews that.",
        )


def check_card(name: str, card: str, files: Collection[str]) -> None:
    """Like `check`, for a whole card."""
    check(name, parse(card)[0], files)


def _advice(finding: Finding) -> str:
    key = _DECIDES.get(finding.path.partition("[")[0].partition(".")[0])
    return f"; correct `{key}`" if key else ""
