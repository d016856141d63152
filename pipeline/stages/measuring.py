"""The tasks that measure, each leaving evidence; nothing is judged here."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.engine.task import Lane, Task
from pipeline.evidence import Evidence, Measurement, dump
from pipeline.manifest import File, Manifest, write_atomically
from pipeline.release import losses
from pipeline.release.recipe import Precision
from pipeline.release.server_command import server_command
from pipeline.stages import download, quantize, speed, text
from pipeline.stages.job import DISTORTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.engine.plan import Plan
    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Record
    from pipeline.evaluate.quality import Examined
    from pipeline.evidence import Subject
    from pipeline.manifest import Json
    from pipeline.stages.job import Job

LANE = Lane(
    "validate", "lets the model speak and measures it against its base: nothing is published untested", 1, "tok"
)
WEIGHTS = Lane("weigh", "compares the stored weights with the base's, for which no text is needed")
STATES: dict[Subject, str] = {"base": "validate/layers-base", "quantized": "validate/layers"}
QUALITY = "validate/quality"
WEIGHT_ERROR = "validate/weight-error"
GENERATION = "validate/generation"
SERVING = "validate/serving"
ANSWER = 32
"""Tokens that a served answer may have: enough to see a loop."""

_QUALITY = tuple(f"evidence/{name}.json" for name in ("perplexity-base", "perplexity", "divergence"))
_STATES = "states"
_BYTES = 2  # of a weight that is looked at


def tasks(job: Job) -> list[Task]:
    asked = job.release.evaluate
    generation = [_generation(job)] if asked.generate else []
    serving = [_serving(job)] if asked.serve else []
    layers = _layers(job, "base"), _layers(job, "quantized")
    timed = speed.tasks(job, LANE, lambda step: _weights(job, step, "quantized"))
    return [layers[0], _weight_error(job), *generation, layers[1], _quality(job), *serving, *timed]


def measures(job: Job) -> tuple[str, ...]:
    """The names of the tasks that leave evidence."""
    return (*judged(job), *speed.names(job))


def judged(job: Job) -> tuple[str, ...]:
    """Those of them that thresholds are about."""
    asked = job.release.evaluate
    optional = {GENERATION: asked.generate, SERVING: asked.serve}
    return (QUALITY, WEIGHT_ERROR, *(task for task, wanted in optional.items() if wanted))


def evidence(job: Job) -> Evidence:
    """What these tasks found; how fast the result is, as far as that is known."""
    outputs = (output for task in judged(job) for output in (_QUALITY if task == QUALITY else (_output(task),)))
    rows = (json.loads(job.workspace.path(output).read_text()) for output in outputs)
    return Evidence((*(Measurement(**row) for row in rows), *speed.measurements(job)))


def _output(task: str) -> str:
    return f"evidence/{task.removeprefix('validate/')}.json"


def _layers(job: Job, subject: Subject) -> Task:
    """The long part of measuring: the text through every layer of one model. Which way of holding weights is no
    matter of the result.
    """
    how = job.release.evaluate.weights

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.evaluate.quality import compute_states

        folder = compute_states(_examined(job, step, subject), text.read(job, step), how, step.advance)
        return {"states": folder.name}

    def check(record: Record) -> str | None:
        gone = not (_states(job, subject) / str(record.values["states"])).exists()
        return "the hidden states that it left are gone" if gone else None

    needs = (*_folder_tasks(job, subject), *text.needs(job))
    return Task(STATES[subject], LANE, run, needs, text.settings(job), work=text.predictions(job), check=check)


def _quality(job: Job) -> Task:
    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.evaluate.measurement import quality_measurements, save_losses
        from pipeline.evaluate.quality import compare

        models = _examined(job, step, "base"), _examined(job, step, "quantized")
        found = compare(*models, text.read(job, step), job.release.evaluate.weights, step.advance)
        measured = quality_measurements(found, text.source(job), _baseline(job))
        for output, measurement in zip(_QUALITY, measured, strict=True):
            write_atomically(step.path(output), dump(asdict(measurement)))
        save_losses(step.path(losses.FILE), found)
        return {}

    folders = (*_folder_tasks(job, "base"), *_folder_tasks(job, "quantized"))
    needs = (*STATES.values(), *folders, *text.needs(job))
    return Task(QUALITY, LANE, run, needs, text.settings(job), (*_QUALITY, losses.FILE), text.predictions(job))


def import_ahead(planned: Plan) -> None:
    """What lanes would import side by side, imported by one thread before they start.

    transformers imports its parts when they are asked for: two threads that ask for parts of each other wait in a
    circle, and Python breaks it by handing out a module that has not all of its names yet.
    """
    if any(one.task.lane in {LANE, WEIGHTS} for one in planned.to_run):
        for module in ("measurement", "opening", "benchmark"):
            importlib.import_module(f"pipeline.evaluate.{module}")


def _weight_error(job: Job) -> Task:
    """How far the weights moved: nothing computes with them, so this is known whatever the text and the machine."""
    settings: dict[str, Json] = {path: str(one) for path, one in job.assignment.precisions.items()}

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.measurement import weight_error_measurement
        from pipeline.weights.distortion import Measured, by_class, measure
        from pipeline.weights.layout import layout

        measured = Measured(job.workspace.path(DISTORTION), job.base.repo, job.base.revision)
        decisions = job.assignment.precisions
        wanted = {path: (one,) for path, one in decisions.items() if isinstance(one, Precision)}
        plain = layout(job.base, {}, job.release.target.shard_size)
        known = (one.module for one in job.assignment.modules if one.module.path in wanted)
        step.advance(_BYTES * sum(math.prod(m.shape) for m in known if measured.knows(m.path, wanted[m.path])))
        measure(plain, step.path(download.BASE), wanted, measured, advance=lambda count: step.advance(count * _BYTES))
        _, weights = _weights(job, step, "quantized")
        return weight_error_measurement(by_class(decisions, measured), _baseline(job), weights)

    needs = (*_folder_tasks(job, "base"), *_folder_tasks(job, "quantized"))
    work = _BYTES * sum(
        math.prod(one.module.shape) for one in job.assignment.modules if isinstance(one.precision, Precision)
    )
    return _measuring(WEIGHT_ERROR, measure, needs, settings, work, lane=WEIGHTS)


def _generation(job: Job) -> Task:
    asked = job.release.evaluate
    answers = 2 if asked.sampling else 1
    settings: dict[str, Json] = {
        "prompts": [prompt.written() for prompt in asked.prompts],
        "max_tokens": asked.max_tokens,
        **({"sampling": asked.sampling.model_dump()} if asked.sampling else {}),
    }

    def measure(step: Step) -> Measurement:
        from pipeline.evaluate.measurement import generation_measurement
        from pipeline.evaluate.opening import open_resident

        folder, weights = _weights(job, step, "quantized")
        loaded = open_resident(
            folder,
            "the result cannot be asked anything",
            "Run the release on a larger machine, or set `evaluate.generate` and `thresholds.generation` to `false`: "
            "the card then says that it was not asked.",
            trust_remote_code=job.release.base.trust_remote_code,
        )
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

    def check(_: Record) -> str | None:
        """What kept a server from running, such as too little memory, may be gone."""
        found = json.loads(job.workspace.path(_output(SERVING)).read_text())
        return None if found["values"]["passed"] else "the server did not answer well the last time"

    return _measuring(SERVING, measure, _folder_tasks(job, "quantized"), settings, 2 * ANSWER, check=check)


def _measuring(
    name: str,
    measure: Callable[[Step], Measurement],
    needs: tuple[str, ...],
    settings: Mapping[str, Json],
    work: int,
    *,
    lane: Lane = LANE,
    check: Callable[[Record], str | None] | None = None,
) -> Task:
    output = _output(name)

    def run(step: Step) -> Mapping[str, Json]:
        write_atomically(step.path(output), dump(asdict(measure(step))))
        return {}

    return Task(name, lane, run, needs, settings, (output,), work, check)


def _examined(job: Job, step: Step, subject: Subject) -> Examined:
    from pipeline.evaluate.quality import Examined

    folder, weights = _weights(job, step, subject)
    trust = job.release.base.trust_remote_code
    return Examined(folder, weights, _states(job, subject), trust, alone=subject == "quantized")


def _states(job: Job, subject: Subject) -> Path:
    """Those of the base are every release's, those of the result only its own."""
    return (job.folders.workspace if subject == "base" else job.workspace.root) / _STATES


def _baseline(job: Job) -> dict[str, Json]:
    return {"repo": job.release.base.repo, "revision": job.release.base.revision}


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
