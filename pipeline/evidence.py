"""Every figure with how it was measured: what `evidence.json` holds and the card prints."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.manifest import Json

Subject = Literal["base", "quantized"]
Source = Literal["measured", "reported"]
SCHEMA = 1
HARNESS = "pipeline"


@dataclass(frozen=True)
class Measurement:
    """One measure of one model.

    measure: "perplexity", "generation", "speed".
    subject: "base" or "quantized", a `Subject`; or the name of another model whose figures were imported.
    weights: SHA-256 of the manifest of the model folder that was measured; "" when another program measured.
    values: what came out; settings: what would change it (text digest, windows, seed, prompts, backend, dtype).
    source: "measured" here, or "reported" elsewhere and taken over.
    """

    measure: str
    subject: str
    weights: str
    values: Mapping[str, Json]
    settings: Mapping[str, Json]
    tools: Mapping[str, str]
    machine: Mapping[str, Json]
    measured_at: str
    source: Source = "measured"

    @property
    def harness(self) -> str:
        """The program that measured: a setting, so that figures of two programs never have the same settings."""
        return str(self.settings.get("harness", HARNESS))

    @property
    def imported(self) -> bool:
        """Whether it was taken over: every such figure names its program, and none that is measured here does."""
        return "harness" in self.settings


@dataclass(frozen=True)
class Evidence:
    measurements: tuple[Measurement, ...] = ()

    def find(self, measure: str, subject: str) -> Measurement | None:
        for measurement in self.measurements:
            if measurement.measure == measure and measurement.subject == subject:
                return measurement
        return None

    def merged(self, others: Iterable[Measurement]) -> Evidence:
        """With `others`, each in the place of one that was taken of the same model in the same way."""
        measurements = {_identity(one): one for one in self.measurements}
        measurements |= {_identity(one): one for one in others}
        return Evidence(tuple(measurements.values()))

    def to_json(self) -> str:
        return dump({"schema": SCHEMA, "measurements": [asdict(m) for m in self.measurements]})

    @classmethod
    def from_json(cls, text: str, name: str = "evidence.json") -> Evidence:
        """The evidence that `to_json` wrote; `PipelineError` that names the file for what something else wrote."""
        try:
            return cls(tuple(Measurement(**row) for row in json.loads(text)["measurements"]))
        except (KeyError, TypeError, ValueError) as error:
            raise PipelineError(
                f"{name} does not hold evidence: {error}",
                hint="It is written by `pipeline`; restore it from git or make it again.",
            ) from None


def dump(value: object) -> str:
    """JSON as it is committed: one value a line, sorted, so that a review shows what moved."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _identity(measurement: Measurement) -> str:
    """What was measured and how. A command line only says in words what the other settings say."""
    settings = {key: value for key, value in measurement.settings.items() if key != "command"}
    return json.dumps([measurement.measure, measurement.subject, settings], sort_keys=True)
