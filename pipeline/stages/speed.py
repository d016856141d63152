"""How fast the result is: which lengths are timed, each in a task of its own, and their figures as one measurement."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pipeline.evaluate.lengths import Length

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.evidence import Measurement
    from pipeline.manifest import Json
    from pipeline.stages.job import Job


def lengths(job: Job) -> dict[str, Length]:
    """What is timed, by the name of its task; nothing unless the release asks for it."""
    asked = job.release.evaluate.speed
    if asked is None:
        return {}
    wanted = [Length("prompt", tokens) for tokens in asked.prompts]
    wanted += [Length("generation", tokens) for tokens in asked.generation]
    return {f"validate/speed/{length.kind}-{length.tokens}": length for length in wanted}


def gathered(timed: Iterable[Measurement]) -> list[Measurement]:
    """One measurement of all lengths; several where some were timed with other tools or on another machine."""
    together: dict[str, Measurement] = {}
    for one in timed:
        how = json.dumps([one.subject, one.weights, one.settings, one.tools, one.machine], sort_keys=True)
        before = together.get(how)
        if before is None:
            together[how] = one
        else:
            values: dict[str, Json] = {
                kind: _rows(before, kind) + _rows(one, kind) for kind in ("prompt", "generation")
            }
            together[how] = replace(one, values=values, measured_at=max(before.measured_at, one.measured_at))
    return list(together.values())


def _rows(measurement: Measurement, kind: str) -> list[Json]:
    return cast("list[Json]", measurement.values[kind])
