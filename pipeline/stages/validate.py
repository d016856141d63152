"""Is it good enough? Measured as evidence first, judged by the release's thresholds afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.engine.task import Lane, Task
from pipeline.errors import ThresholdsMissed
from pipeline.evaluate.lengths import SHORT_PROMPT
from pipeline.evidence import Evidence, Measurement, dump
from pipeline.manifest import File, Manifest, write_atomically
from pipeline.release.judge import judge
from pipeline.stages import download, quantize, speed, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.engine.task import Step
    from pipeline.evaluate.lengths import Length
    from pipeline.evidence import Subject
    from pipeline.manifest import Json
    from pipeline.release.judge import Verdict
    from pipeline.stages.job import Job

LANE = Lane("validate", "lets the model speak and measures its perplexity, for nothing is published untested", 1, "tok")
PERPLEXITY: dict[Subject, str] = {"base": "validate/perplexity-base", "quantized": "validate/perplexity"}
GENERATION = "validate/generation"
JUDGE = "validate/thresholds"
MEASURES = (*PERPLEXITY.values(), GENERATION)


def tasks(job: Job) -> list[Task]:
    timed = [_speed(job, name, length) for name, length in speed.lengths(job).items()]
    return [_perplexity(job, "base"), _generation(job), _perplexity(job, "quantized"), *timed, _judge(job)]


def measures(job: Job) -> tuple[str, ...]:
    """The tasks that measure."""
    return (*MEASURES, *speed.lengths(job))


def evidence(job: Job) -> Evidence:
    """What the measuring tasks found."""
    return Evidence((*_judged(job).measurements, *speed.gathered(_found(job, task) for task in speed.lengths(job))))


def verdicts(job: Job) -> tuple[Verdict, ...]:
    """Asked and measured, threshold by threshold; judging measures nothing, so it can be done again at any time."""
    return judge(job.release.thresholds, _judged(job))


def _judged(job: Job) -> Evidence:
    """What thresholds are about. How fast the result is may still be measured, for that takes long."""
    return Evidence(tuple(_found(job, task) for task in MEASURES))


def _found(job: Job, task: str) -> Measurement:
    return Measurement(**json.loads(job.workspace.path(_output(task)).read_text()))


def _output(task: str) -> str:
    return f"evidence/{task.removeprefix('validate/')}.json"


def _perplexity(job: Job, subject: Subject) -> Task:
    count, length = text.windows(job)

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.forward import load
        from pipeline.evaluate.measurement import perplexity_measurement

        folder, weights = _weights(job, step, subject)
        loaded = load(folder, trust_remote_code=job.release.base.trust_remote_code)
        read = text.tokens(job, step, loaded.tokenizer)
        return perplexity_measurement(
            loaded, read.ids, subject=subject, weights=weights, text=read.text, advance=step.advance
        )

    needs = (*_folder_tasks(job, subject), *text.needs(job))
    return _measuring(PERPLEXITY[subject], measure, needs, text.settings(job), count * (length - 1))


def _generation(job: Job) -> Task:
    asked = job.release.evaluate
    settings: dict[str, Json] = {"prompts": list(asked.prompts), "max_tokens": asked.max_tokens}

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.forward import load
        from pipeline.evaluate.measurement import generation_measurement

        folder, weights = _weights(job, step, "quantized")
        loaded = load(folder, trust_remote_code=job.release.base.trust_remote_code)
        return generation_measurement(
            loaded, asked.prompts, asked.max_tokens, subject="quantized", weights=weights, advance=step.advance
        )

    work = len(asked.prompts) * asked.max_tokens
    return _measuring(GENERATION, measure, _folder_tasks(job, "quantized"), settings, work)


def _speed(job: Job, name: str, length: Length) -> Task:
    asked = job.release.evaluate.speed
    trials = asked.trials if asked else 0

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.benchmark import vocabulary
        from pipeline.evaluate.forward import load
        from pipeline.evaluate.measurement import speed_measurement

        folder, weights = _weights(job, step, "quantized")
        loaded = load(folder, trust_remote_code=job.release.base.trust_remote_code)
        known = vocabulary(json.loads(job.layout.config))
        return speed_measurement(
            loaded, length, known, trials, subject="quantized", weights=weights, advance=step.advance
        )

    needs, settings = _folder_tasks(job, "quantized"), {"trials": trials, "prompt_of_generation": SHORT_PROMPT}
    return _measuring(name, measure, needs, settings, length.work(trials))


def _measuring(
    name: str, measure: Callable[[Step], Measurement], needs: tuple[str, ...], settings: Mapping[str, Json], work: int
) -> Task:
    output = _output(name)

    def run(step: Step) -> Mapping[str, Json]:
        measurement = measure(step)
        write_atomically(step.path(output), dump(asdict(measurement)))
        return {}

    return Task(name, LANE, run, needs, settings, (output,), work)


def _folder_tasks(job: Job, subject: Subject) -> tuple[str, ...]:
    if subject == "quantized":
        return quantize.names(job)
    return tuple(download.base_task(file.path) for file in job.base_files)


def _weights(job: Job, step: Step, subject: Subject) -> tuple[Path, str]:
    """The model's folder and the digest of everything in it."""
    outputs = [output for task in _folder_tasks(job, subject) for output in step.record(task).outputs]
    folder = download.BASE if subject == "base" else quantize.MODEL
    manifest = Manifest(tuple(File(o.path.removeprefix(f"{folder}/"), o.size, o.sha256) for o in outputs))
    return step.path(folder), manifest.digest


def _judge(job: Job) -> Task:
    thresholds = job.release.thresholds

    def run(_: Step) -> Mapping[str, Json]:
        judged = verdicts(job)
        missed = [verdict for verdict in judged if not verdict.passed]
        if missed:
            raise ThresholdsMissed(
                f"{job.name} misses {len(missed)} of {len(judged)} thresholds: "
                + "; ".join(f"{verdict.threshold}: {verdict.why}" for verdict in missed),
                hint="Nothing was published. Give the recipe more bits, or change the thresholds in release.yaml.",
            )
        return {"passed": [verdict.threshold for verdict in judged]}

    return Task(JUDGE, LANE, run, MEASURES, {"thresholds": thresholds.model_dump(mode="json")})
