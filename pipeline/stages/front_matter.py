"""What a plan already knows of the card's front matter: refused before anything long is started, or remarked upon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.card import lint, quality
from pipeline.card.front_matter import write
from pipeline.card.hub_fields import hub_fields
from pipeline.card.inputs import Inputs
from pipeline.evidence import Evidence
from pipeline.metadata.values import OTHER
from pipeline.release.find import release_file
from pipeline.stages.card_inputs import planned_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.manifest import Json
    from pipeline.release.stated_license import StatedLicense
    from pipeline.stages.job import Planned


def check_front_matter(job: Planned) -> tuple[str, ...]:
    """What a person should know of it, a sentence each.

    Raises: UsageError when nobody states a license; CardInvalid when the Hub would refuse it.
    """
    inputs = _inputs(job)
    lint.check(job.name, _fields(inputs), {file.path for file in inputs.lock.model})
    return tuple(_remarks(job))


def planned_front_matter(job: Planned) -> str:
    """The front matter as far as it is known before anything was measured."""
    return write(_fields(_inputs(job)))


def _inputs(job: Planned) -> Inputs:
    return Inputs(job.name, job.release, job.recipe, planned_lock(job), Evidence(), released=False)


def _fields(inputs: Inputs) -> dict[str, Json]:
    return hub_fields(inputs, quality.read(Evidence()))


def _remarks(job: Planned) -> Iterator[str]:
    card, repo = job.base.card, job.base.repo
    if card is None:
        return
    if card.dropped:
        yield f"not everything that the card of {repo} says was taken from it: {'; '.join(card.dropped)}"
    contradicted = []
    stated = job.release.license
    named = stated and card.license_name and stated.name != card.license_name
    if stated and card.license and (stated.id != card.license or named):
        contradicted.append(f"`license: {_words(stated)}`, where that says {card.license_name or card.license}")
    if job.release.language and card.language and set(job.release.language) != set(card.language):
        ours, theirs = ", ".join(job.release.language), ", ".join(card.language)
        contradicted.append(f"`language: [{ours}]`, where that says {theirs}")
    if contradicted:
        yield f"{release_file(job.name)} overrides the card of {repo}: {' and '.join(contradicted)}"


def _words(stated: StatedLicense) -> str:
    return f"{{name: {stated.name}}}" if stated.id == OTHER else stated.id
