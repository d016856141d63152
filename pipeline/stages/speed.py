"""How fast the result is: each length is timed in a task of its own, and all their figures are one measurement."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, cast

from pipeline.engine.task import Task
from pipeline.evaluate.lengths import SHORT_PROMPT, Length
from pipeline.evidence import Measurement, dump
from pipeline.manifest import write_atomically
from pipeline.stages import quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pipeline.engine.task import Lane, Step
    from pipeline.manifest import Json
    from pipeline.stages.job import Job

    Model = Callable[[Step], tuple[Path, str]]


def tasks(job: Job, lane: Lane, model: Model) -> list[Task]:
    """Nothing unless the release asks for it; `model` gives the folder of the result and its digest."""
    return [_timed(job, lane, model, name, length) for name, length in _lengths(job).items()]


def names(job: Job) -> tuple[str, ...]:
    return tuple(_lengths(job))


def measurements(job: Job) -> list[Measurement]:
    """What the tasks found, as far as they have run."""
    files = (job.workspace.path(_output(name)) for name in _lengths(job))
    return gathered(Measurement(**json.loads(file.read_text())) for file in files if file.exists())


def gathered(timed: Iterable[Measurement]) -> list[Measurement]:
    """One measurement of all lengths; several where some were timed with other tools or on another machine."""
    together: dict[str, Measurement] = {}
    for one in timed:
        how = json.dumps([one.subject, one.weights, one.settings, one.tools, one.machine], sort_keys=True)
        before = together.get(how)
        if before is None:
            together[how] = one
        else:
            values: dict[str, Json] = {kind: [*_rows(before, kind), *_rows(one, kind)] for kind in before.values}
            together[how] = replace(one, values=values, measured_at=max(before.measured_at, one.measured_at))
    return list(together.values())


def _lengths(job: Job) -> dict[str, Length]:
    """What is timed, by the name of its task."""
    asked = job.release.evaluate.speed
    if asked is None:
        return {}
    wanted = [Length("prompt", tokens) for tokens in asked.prompts]
    wanted += [Length("generation", tokens) for tokens in asked.generation]
    return {f"validate/speed/{length.kind}-{length.tokens}": length for length in wanted}


def _output(name: str) -> str:
    return f"evidence/{name.removeprefix('validate/')}.json"


def _timed(job: Job, lane: Lane, model: Model, name: str, length: Length) -> Task:
    asked, output = job.release.evaluate.speed, _output(name)
    trials = asked.trials if asked else 0

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.evaluate.benchmark import vocabulary
        from pipeline.evaluate.measurement import speed_measurement
        from pipeline.evaluate.opening import open_resident

        folder, weights = model(step)
        loaded = open_resident(
            folder,
            "the speed of the result cannot be measured",
            "Leave `evaluate.speed` out of release.yaml, or run the release on a larger machine.",
            trust_remote_code=job.release.base.trust_remote_code,
        )
        known = vocabulary(json.loads(job.layout.config))
        found = speed_measurement(
            loaded, length, known, trials, subject="quantized", weights=weights, advance=step.advance
        )
        write_atomically(step.path(output), dump(asdict(found)))
        return {}

    settings: dict[str, Json] = {"trials": trials, "prompt_of_generation": SHORT_PROMPT}
    return Task(name, lane, run, quantize.names(job), settings, (output,), length.work(trials))


def _rows(measurement: Measurement, kind: str) -> list[Json]:
    return cast("list[Json]", measurement.values[kind])
