"""The models that stand beside each other on a card: the released one, its base, its siblings, and others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.card.escape import Markdown, code, link, plain
from pipeline.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.card.inputs import Inputs

OWN, BASE = "quantized", "base"


@dataclass(frozen=True)
class Model:
    """bytes, bits_per_weight: of its weights, where they are known.

    name: in a row of a table, linked where it is published; short: in a heading; label: in a plot.
    """

    name: Markdown
    short: Markdown
    label: str
    bytes: int | None = None
    bits_per_weight: float | None = None


@dataclass(frozen=True)
class Models:
    """evidence: all figures, those of siblings under subjects of their own; known: models by subject, in order."""

    evidence: Evidence
    known: Mapping[str, Model]

    def model(self, subject: str) -> Model:
        return self.known.get(subject) or Model(code(subject), code(subject), subject)

    def order(self, subject: str) -> int:
        """The released model first, then its base, its siblings, and the others as the evidence has them."""
        return list(self.known).index(subject) if subject in self.known else len(self.known)


def sibling_subject(name: str) -> str:
    return f"releases/{name}"


def models(inputs: Inputs, base: Markdown) -> Models:
    """base: the name of the base in tables."""
    given = inputs.release.label
    own = Markdown(f"**{plain(given)}** (this model)" if given else "**this model**")
    short = Markdown(f"{plain(given)} (this model)" if given else "this model")
    known = {
        OWN: Model(own, short, given or inputs.name, inputs.lock.bytes, inputs.lock.bits_per_weight),
        BASE: Model(base, Markdown("the base"), "the base", inputs.lock.base.bytes),
    }
    measurements = list(inputs.evidence.measurements)
    for sibling in inputs.siblings:
        subject = sibling_subject(sibling.name)
        label = plain(sibling.label)
        name = link(sibling.label, sibling.address) if sibling.address else label
        known[subject] = Model(name, label, sibling.label, sibling.bytes, sibling.bits_per_weight)
        measurements += [replace(one, subject=subject) for one in sibling.evidence.measurements if one.subject == OWN]
    return Models(Evidence(tuple(measurements)), known)
