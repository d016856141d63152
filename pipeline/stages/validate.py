"""Is it good enough? Measured as evidence first, judged by the release's thresholds afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from pipeline.engine.task import Lane, Task
from pipeline.errors import ThresholdsMissed
from pipeline.evidence import Evidence, Measurement, dump
from pipeline.lock import LockedWaiver
from pipeline.manifest import File, Manifest, write_atomically
from pipeline.release.judge import judge
from pipeline.stages import download, quantize
from pipeline.stages.happened import change_from, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Record, Workspace
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
    return [_perplexity(job, "base"), _generation(job), _perplexity(job, "quantized"), _judge(job)]


def evidence(workspace: Workspace) -> Evidence:
    """What the measuring tasks found."""
    rows = (json.loads(workspace.path(_output(task)).read_text()) for task in MEASURES)
    return Evidence(tuple(Measurement(**row) for row in rows))


def verdicts(job: Job) -> tuple[Verdict, ...]:
    """Asked and measured, threshold by threshold; judging measures nothing, so it can be done again at any time."""
    found, thresholds = evidence(job.workspace), job.release.thresholds
    earlier = change_from(job.folders, thresholds.against, job.name, found) if thresholds.against != "base" else None
    return judge(thresholds, found, footprint=job.layout, earlier=earlier, waivers=job.release.waivers)


def waived(record: Record) -> tuple[LockedWaiver, ...]:
    """The thresholds that were missed and waived, from the record of judging."""
    rows = cast("Sequence[Mapping[str, str]]", record.values.get("waived", ()))
    return tuple(LockedWaiver(**row) for row in rows)


def _output(task: str) -> str:
    return f"evidence/{task.removeprefix('validate/')}.json"


def _perplexity(job: Job, subject: Subject) -> Task:
    asked = job.release.evaluate
    source: dict[str, Json] = {"repo": asked.text.repo, "revision": asked.text.revision, "file": asked.text.file}
    settings: dict[str, Json] = {"text": source, "window": asked.window, "windows": asked.windows}

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.forward import load
        from pipeline.evaluate.measurement import perplexity_measurement

        folder, weights = _weights(job, step, subject)
        loaded = load(folder, trust_remote_code=job.release.base.trust_remote_code)
        return perplexity_measurement(
            loaded,
            step.path(download.text_path(job)).read_text("utf-8"),
            asked.window,
            asked.windows,
            subject=subject,
            weights=weights,
            source=source,
            advance=step.advance,
        )

    needs = (*_folder_tasks(job, subject), download.text_task(job))
    return _measuring(PERPLEXITY[subject], measure, needs, settings, asked.windows * (asked.window - 1))


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
