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
    """name: in a table; label: the same in a plot; bytes, bits_per_weight: of its weights, where they are known."""

    name: Markdown
    label: str
    bytes: int | None = None
    bits_per_weight: float | None = None


@dataclass(frozen=True)
class Models:
    """evidence: all figures, those of siblings under subjects of their own; known: models by subject, in order."""

    evidence: Evidence
    known: Mapping[str, Model]

    def model(self, subject: str) -> Model:
        return self.known.get(subject) or Model(code(subject), subject)

    def order(self, subject: str) -> int:
        """The released model first, then its base, its siblings, and the others as the evidence has them."""
        return list(self.known).index(subject) if subject in self.known else len(self.known)


def models(inputs: Inputs) -> Models:
    label = inputs.release.label
    own = Markdown(f"**{plain(label)}** (this model)" if label else "**this model**")
    known = {
        OWN: Model(own, label or inputs.name, inputs.lock.bytes, inputs.lock.bits_per_weight),
        BASE: Model(Markdown("the base"), "the base"),
    }
    measurements = list(inputs.evidence.measurements)
    for sibling in inputs.siblings:
        subject = f"releases/{sibling.name}"
        name = link(sibling.label, sibling.address) if sibling.address else plain(sibling.label)
        known[subject] = Model(name, sibling.label, sibling.bytes, sibling.bits_per_weight)
        measurements += [replace(one, subject=subject) for one in sibling.evidence.measurements if one.subject == OWN]
    return Models(Evidence(tuple(measurements)), known)
