"""Is it good enough? Measured as evidence first, judged by the release's thresholds afterwards."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from pipeline.engine.task import Lane, Task
from pipeline.errors import ThresholdsMissed
from pipeline.evidence import Evidence, Measurement, dump
from pipeline.lock import LockedWaiver
from pipeline.manifest import File, Manifest, write_atomically
from pipeline.release import losses
from pipeline.release.judge import judge
from pipeline.release.recipe import Precision
from pipeline.stages import download, quantize, speed, text
from pipeline.stages.happened import change_from, digest
from pipeline.stages.job import DISTORTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Record
    from pipeline.evaluate.quality import Examined
    from pipeline.evidence import Subject
    from pipeline.manifest import Json
    from pipeline.release.judge import Verdict
    from pipeline.stages.job import Job

LANE = Lane("validate", "lets the model speak and measures its perplexity, for nothing is published untested", 1, "tok")
STATES: dict[Subject, str] = {"base": "validate/layers-base", "quantized": "validate/layers"}
QUALITY = "validate/quality"
WEIGHT_ERROR = "validate/weight-error"
GENERATION = "validate/generation"
JUDGE = "validate/thresholds"
MEASURES = (QUALITY, WEIGHT_ERROR, GENERATION)
_EVIDENCE = {
    QUALITY: tuple(f"evidence/{name}.json" for name in ("perplexity-base", "perplexity", "divergence")),
    WEIGHT_ERROR: ("evidence/weight-error.json",),
    GENERATION: ("evidence/generation.json",),
}
_STATES = "states"
_BYTES = 2  # of a weight that is looked at, for the rate beside that of the quantizing


def tasks(job: Job) -> list[Task]:
    measuring = [_layers(job, "base"), _weight_error(job), _generation(job), _layers(job, "quantized"), _quality(job)]
    timed = speed.tasks(job, LANE, lambda step: _weights(job, step, "quantized"))
    return [*measuring, *timed, _judge(job)]


def measures(job: Job) -> tuple[str, ...]:
    """The tasks that measure."""
    return (*MEASURES, *speed.names(job))


def evidence(job: Job) -> Evidence:
    """What the measuring tasks found; how fast the result is, which no threshold is about, as far as that is known."""
    rows = (json.loads(job.workspace.path(output).read_text()) for task in MEASURES for output in _EVIDENCE[task])
    return Evidence((*(Measurement(**row) for row in rows), *speed.measurements(job)))


def verdicts(job: Job) -> tuple[Verdict, ...]:
    """Asked and measured, threshold by threshold; judging measures nothing, so it can be done again at any time."""
    found, thresholds = evidence(job), job.release.thresholds
    earlier = change_from(job.folders, thresholds.against, job.name, found) if thresholds.against != "base" else None
    return judge(thresholds, found, footprint=job.layout, earlier=earlier, waivers=job.release.waivers)


def waived(record: Record) -> tuple[LockedWaiver, ...]:
    """The thresholds that were missed and waived, from the record of judging."""
    rows = cast("Sequence[Mapping[str, str]]", record.values.get("waived", ()))
    return tuple(LockedWaiver(**row) for row in rows)


def _layers(job: Job, subject: Subject) -> Task:
    """The long part of measuring: the text through every layer of one model. Which way of holding weights is no
    matter of the result.
    """
    how = job.release.evaluate.weights

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.evaluate.quality import compute_states

        compute_states(_examined(job, step, subject), text.read(job, step), how, step.advance)
        return {}

    needs = (*_folder_tasks(job, subject), *text.needs(job))
    return Task(STATES[subject], LANE, run, needs, text.settings(job), work=text.predictions(job))


def _quality(job: Job) -> Task:
    outputs = (*_EVIDENCE[QUALITY], losses.FILE)

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.evaluate.measurement import quality_measurements, save_losses
        from pipeline.evaluate.quality import compare

        models = _examined(job, step, "base"), _examined(job, step, "quantized")
        found = compare(*models, text.read(job, step), step.advance)
        measured = quality_measurements(found, text.source(job), _baseline(job))
        for output, measurement in zip(_EVIDENCE[QUALITY], measured, strict=True):
            write_atomically(step.path(output), dump(asdict(measurement)))
        save_losses(step.path(losses.FILE), found)
        return {}

    folders = (*_folder_tasks(job, "base"), *_folder_tasks(job, "quantized"))
    needs = (*STATES.values(), *folders, *text.needs(job))
    return Task(QUALITY, LANE, run, needs, text.settings(job), outputs, text.predictions(job))


def _weight_error(job: Job) -> Task:
    """How far the weights moved: nothing computes with them, so this is known whatever the text and the machine. It
    runs beside the quantizing, whose work it repeats.
    """
    settings: dict[str, Json] = {path: str(one) for path, one in job.assignment.precisions.items()}
    (output,) = _EVIDENCE[WEIGHT_ERROR]

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.evaluate.measurement import weight_error_measurement
        from pipeline.weights.distortion import Measured, by_class, measure
        from pipeline.weights.layout import layout

        measured = Measured(job.workspace.path(DISTORTION), job.base.repo, job.base.revision)
        decisions = job.assignment.precisions
        wanted = {path: (one,) for path, one in decisions.items() if isinstance(one, Precision)}
        plain = layout(job.base, {}, job.release.target.shard_size)
        measure(plain, step.path(download.BASE), wanted, measured, advance=lambda count: step.advance(count * _BYTES))
        _, weights = _weights(job, step, "quantized")
        measurement = weight_error_measurement(by_class(decisions, measured), _baseline(job), weights)
        write_atomically(step.path(output), dump(asdict(measurement)))
        return {}

    needs = (*_folder_tasks(job, "base"), *_folder_tasks(job, "quantized"))
    work = _BYTES * sum(
        math.prod(one.module.shape) for one in job.assignment.modules if isinstance(one.precision, Precision)
    )
    return Task(WEIGHT_ERROR, quantize.LANE, run, needs, settings, (output,), work)


def _baseline(job: Job) -> dict[str, Json]:
    return {"repo": job.release.base.repo, "revision": job.release.base.revision}


def _examined(job: Job, step: Step, subject: Subject) -> Examined:
    """States of the base are every release's, those of the result only its own."""
    from pipeline.evaluate.quality import Examined

    folder, weights = _weights(job, step, subject)
    states = job.folders.workspace if subject == "base" else job.workspace.root
    return Examined(folder, weights, states / _STATES, job.release.base.trust_remote_code)


def _generation(job: Job) -> Task:
    asked = job.release.evaluate
    settings: dict[str, Json] = {"prompts": list(asked.prompts), "max_tokens": asked.max_tokens}
    (output,) = _EVIDENCE[GENERATION]

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.evaluate.forward import load
        from pipeline.evaluate.measurement import generation_measurement

        folder, weights = _weights(job, step, "quantized")
        loaded = load(folder, trust_remote_code=job.release.base.trust_remote_code)
        measurement = generation_measurement(
            loaded, asked.prompts, asked.max_tokens, subject="quantized", weights=weights, advance=step.advance
        )
        write_atomically(step.path(output), dump(asdict(measurement)))
        return {}

    work = len(asked.prompts) * asked.max_tokens
    return Task(GENERATION, LANE, run, _folder_tasks(job, "quantized"), settings, (output,), work)


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
        missed = [verdict for verdict in judged if verdict.outcome == "miss"]
        if missed:
            raise ThresholdsMissed(
                f"{job.name} misses {len(missed)} of {len(judged)} thresholds: "
                + "; ".join(f"{verdict.threshold}: {verdict.why}" for verdict in missed),
                hint="Nothing was published. Give the recipe more bits, or change the thresholds in release.yaml; "
                "`waivers` there lets one be missed, with a reason that the card prints.",
            )
        # Nothing else, so that another limit that is met as well is no reason to render or to publish again.
        values: dict[str, Json] = {"passed": [verdict.threshold for verdict in judged if verdict.passed]}
        allowed: list[Json] = [
            {"threshold": v.threshold, "asked": v.asked, "measured": v.measured, "why": v.waived}
            for v in judged
            if v.outcome == "waived"
        ]
        return {**values, "waived": allowed} if allowed else values

    settings: dict[str, Json] = {"thresholds": thresholds.model_dump(mode="json", exclude_none=True)}
    if job.release.waivers:
        settings["waivers"] = [waiver.model_dump(mode="json") for waiver in job.release.waivers]
    if thresholds.against != "base":
        settings["earlier"] = digest(job.folders, thresholds.against)
    return Task(JUDGE, LANE, run, MEASURES, settings)
