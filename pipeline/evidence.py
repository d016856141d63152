"""Every figure with how it was measured: what `evidence.json` holds and the card prints."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.manifest import Json

Subject = Literal["base", "quantized"]
SCHEMA = 1


@dataclass(frozen=True)
class Measurement:
    """One measure of one model.

    measure: "perplexity" or "generation".
    weights: SHA-256 of the manifest of the model folder that was measured.
    values: what came out; settings: what would change it (text digest, windows, seed, prompts, backend, dtype).
    source: "measured" here, or "reported" elsewhere and taken over.
    """

    measure: str
    subject: Subject
    weights: str
    values: Mapping[str, Json]
    settings: Mapping[str, Json]
    tools: Mapping[str, str]
    machine: Mapping[str, Json]
    measured_at: str
    source: Literal["measured", "reported"] = "measured"


@dataclass(frozen=True)
class Evidence:
    measurements: tuple[Measurement, ...] = ()

    def find(self, measure: str, subject: Subject) -> Measurement | None:
        for measurement in self.measurements:
            if measurement.measure == measure and measurement.subject == subject:
                return measurement
        return None

    def to_json(self) -> str:
        return dump({"schema": SCHEMA, "measurements": [asdict(m) for m in self.measurements]})

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        return cls(tuple(Measurement(**row) for row in json.loads(text)["measurements"]))


def dump(value: object) -> str:
    """JSON as it is committed: one value a line, sorted, so that a review shows what moved."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
