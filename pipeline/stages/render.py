"""What happened, written down for people: the lock, the evidence, and the card that is made from the two."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import provenance
from pipeline.engine.task import Lane, Task
from pipeline.evidence import Evidence
from pipeline.lock import ContextMemory, Lock, LockedBase, LockedRecipe, LockedRule, LockedTarget, TensorClass
from pipeline.manifest import File, Manifest, write_atomically
from pipeline.release.find import imported_file
from pipeline.stages import measuring, quantize, validate
from pipeline.stages.happened import happened
from pipeline.stages.sizes import sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Record
    from pipeline.manifest import Json
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders, Job

LANE = Lane("render", "writes the lock, the evidence and the model card, which reviewers read as a diff", unit="files")
TASK = "render/card"
CARD = "card/README.md"
_FILES = {"README.md": CARD, "evidence.json": "card/evidence.json", "release.lock.json": "card/release.lock.json"}


def tasks(job: Job) -> list[Task]:
    return [_card(job)]


def rendered(asked: Asked, folders: Folders) -> str:
    """The card of a release as the files in its folder make it; `UsageError` when it has never been run."""
    from pipeline.card.render import render, template_folder

    lock, evidence = happened(folders, asked.name, "the card is made from it")
    return render(asked.release, asked.recipe, lock, evidence, template_folder(folders.root))


def write_commit(job: Job, commit: str) -> None:
    """Complete the lock in the release's folder with the commit that was published."""
    lock = Lock.from_json(job.workspace.path(_FILES["release.lock.json"]).read_text())
    locked = replace(lock, target=replace(lock.target, commit=commit))
    write_atomically(job.folders.release(job.name) / "release.lock.json", locked.to_json())


def _card(job: Job) -> Task:
    folder = job.folders.release(job.name)
    imported = _imported(job)

    def run(step: Step) -> Mapping[str, Json]:
        texts = {
            "evidence.json": measuring.evidence(job).merged(imported.measurements).to_json(),
            "release.lock.json": _lock(job, step).to_json(),
        }
        for name, text in texts.items():
            write_atomically(folder / name, text)
        texts["README.md"] = rendered(job.asked, job.folders)
        write_atomically(folder / "README.md", texts["README.md"])
        for name, text in texts.items():
            write_atomically(step.path(_FILES[name]), text)
            step.advance(1)
        return {}

    def check(_: Record) -> str | None:
        for name, output in _FILES.items():
            path, file = folder / name, f"releases/{job.name}/{name}"
            if not path.exists() or _before_commit(file, path.read_text()) != job.workspace.path(output).read_text():
                return f"{file} is missing or was changed"
        return None if rendered(job.asked, job.folders) == (folder / "README.md").read_text() else "template changed"

    needs = (*quantize.names(job), *measuring.measures(job), validate.JUDGE)
    settings: dict[str, Json] = {
        # What is left out is left out here too: a key that a later version adds is no reason to render again.
        "release": job.release.model_dump(mode="json", exclude={"thresholds", "waivers", "fit"}, exclude_none=True),
        "recipe": job.recipe.words(),
    }
    if imported.measurements:
        settings["imported"] = hashlib.sha256(imported.to_json().encode()).hexdigest()
    return Task(TASK, LANE, run, needs, settings, tuple(_FILES.values()), len(_FILES), check)


def _imported(job: Job) -> Evidence:
    """The figures of other programs, which a person took over with `pipeline evidence import`."""
    file = imported_file(job.name)
    path = job.folders.root / file
    return Evidence.from_json(path.read_text(), file) if path.exists() else Evidence()


def _before_commit(file: str, text: str) -> str:
    """The text as it was rendered: publishing writes the commit into the lock and changes nothing else."""
    if not file.endswith("release.lock.json"):
        return text
    lock = Lock.from_json(text, file)
    return replace(lock, target=replace(lock.target, commit=None)).to_json()


def _lock(job: Job, step: Step) -> Lock:
    outputs = [output for task in quantize.names(job) for output in step.record(task).outputs]
    rules = (
        LockedRule(rule.match, str(rule.layers or ""), str(rule.decision), count, rule.why)
        for rule, count in zip(job.recipe.rules, job.assignment.counts, strict=True)
    )
    return Lock(
        base=LockedBase(job.base.repo, job.base.revision, job.base.files.digest),
        recipe=LockedRecipe(
            job.recipe.name, job.recipe.version, job.recipe.digest, str(job.recipe.otherwise or "error")
        ),
        model=Manifest(tuple(File(quantize.in_model(o.path), o.size, o.sha256) for o in outputs)),
        parameters=job.layout.parameters,
        bytes=job.layout.nbytes,
        bits_per_weight=job.layout.bits_per_weight,
        classes=tuple(TensorClass(row.name, row.parameters, row.precision, row.nbytes) for row in job.layout.classes),
        rules=tuple(rules),
        tools=provenance.tools(),
        target=LockedTarget(job.release.target.repo, job.release.target.tag),
        waived=validate.waived(step.record(validate.JUDGE)),
        memory=tuple(ContextMemory(row.context, row.nbytes) for row in sizes(job).memory if row.nbytes is not None),
    )
