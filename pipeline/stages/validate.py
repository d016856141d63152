"""Is it good enough? Measured as evidence first, judged by the release's thresholds afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.engine.task import Lane, Task
from pipeline.errors import ThresholdsMissed
from pipeline.evidence import Evidence, Measurement, dump
from pipeline.manifest import File, Manifest, write_atomically
from pipeline.release.judge import judge
from pipeline.release.server_command import server_command
from pipeline.stages import download, quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.engine.task import Step
    from pipeline.evidence import Subject
    from pipeline.manifest import Json
    from pipeline.release.judge import Verdict
    from pipeline.stages.job import Job

LANE = Lane("validate", "lets the model speak and measures its perplexity, for nothing is published untested", 1, "tok")
PERPLEXITY: dict[Subject, str] = {"base": "validate/perplexity-base", "quantized": "validate/perplexity"}
GENERATION = "validate/generation"
SERVING = "validate/serving"
JUDGE = "validate/thresholds"
ANSWER = 32
"""Tokens that a served answer may have: enough to see a loop."""


def tasks(job: Job) -> list[Task]:
    serving = [_serving(job)] if job.release.evaluate.serve else []
    return [_perplexity(job, "base"), _generation(job), _perplexity(job, "quantized"), *serving, _judge(job)]


def measures(job: Job) -> tuple[str, ...]:
    """The names of the measuring tasks."""
    return (*PERPLEXITY.values(), GENERATION, *([SERVING] if job.release.evaluate.serve else []))


def evidence(job: Job) -> Evidence:
    """What the measuring tasks found."""
    rows = (json.loads(job.workspace.path(_output(task)).read_text()) for task in measures(job))
    return Evidence(tuple(Measurement(**row) for row in rows))


def verdicts(job: Job) -> tuple[Verdict, ...]:
    """Asked and measured, threshold by threshold; judging measures nothing, so it can be done again at any time."""
    return judge(job.release.thresholds, evidence(job))


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
    answers = 2 if asked.sampling else 1
    settings: dict[str, Json] = {
        "prompts": [prompt.written() for prompt in asked.prompts],
        "max_tokens": asked.max_tokens,
        **({"sampling": asked.sampling.model_dump()} if asked.sampling else {}),
    }

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.forward import load
        from pipeline.evaluate.measurement import generation_measurement

        folder, weights = _weights(job, step, "quantized")
        loaded = load(folder, trust_remote_code=job.release.base.trust_remote_code)
        return generation_measurement(
            loaded,
            asked.prompts,
            asked.max_tokens,
            asked.sampling,
            subject="quantized",
            weights=weights,
            advance=step.advance,
        )

    work = answers * sum(prompt.max_tokens or asked.max_tokens for prompt in asked.prompts)
    return _measuring(GENERATION, measure, _folder_tasks(job, "quantized"), settings, work)


def _serving(job: Job) -> Task:
    # Nothing is expected of so short an answer, so a change of what is expected is no reason to ask again.
    prompt = job.release.evaluate.prompts[0].model_copy(update={"expect": None, "max_tokens": None})
    trust = job.release.base.trust_remote_code
    settings: dict[str, Json] = {
        "prompt": prompt.written(),
        "max_tokens": ANSWER,
        "command": [*server_command(job.release.target.repo, trust_remote_code=trust)],
    }

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.measurement import serving_measurement

        folder, weights = _weights(job, step, "quantized")
        return serving_measurement(
            folder,
            prompt,
            ANSWER,
            repository=job.release.target.repo,
            trust_remote_code=trust,
            subject="quantized",
            weights=weights,
            advance=step.advance,
        )

    return _measuring(SERVING, measure, _folder_tasks(job, "quantized"), settings, 2 * ANSWER)


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

    return Task(JUDGE, LANE, run, measures(job), {"thresholds": thresholds.model_dump(mode="json")})
