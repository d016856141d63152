"""What happened, written down for people: the lock, the evidence, and the card that is made from the two."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from pipeline.card import assets
from pipeline.card.plots import plots
from pipeline.engine.task import Lane, Task
from pipeline.errors import CardDiffers
from pipeline.lock import Lock
from pipeline.manifest import File, Manifest, sha256, write_atomically
from pipeline.stages import measuring, quantize, validate
from pipeline.stages.card_inputs import imported_figures, inputs_of, planned_lock
from pipeline.stages.commit import locked_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.card.plots import Plot
    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Output, Record
    from pipeline.manifest import Json
    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders, Job

LANE = Lane("render", "writes the lock, the evidence and the model card, which reviewers read as a diff", unit="files")
TASK = "render/card"
CARD = "card/README.md"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
FILES = {"README.md": CARD, "evidence.json": "card/evidence.json", "release.lock.json": "card/release.lock.json"}
"""What is rendered, by the names under which it is committed and published."""


def tasks(job: Job) -> list[Task]:
    return [_card(job)]


def rendered(asked: Asked, folders: Folders) -> str:
    """The card of a release as the files in its folder make it; errors as in `inputs_of`."""
    return card_and_plots(asked, folders)[0]


def card_and_plots(asked: Asked, folders: Folders) -> tuple[str, tuple[Plot, ...]]:
    """The card and what is drawn beside it; errors as in `inputs_of`."""
    from pipeline.card.render import render, template_folder

    inputs = inputs_of(asked, folders)
    return render(inputs, template_folder(folders.root)), plots(inputs)


def plots_made(record: Record) -> Mapping[str, str]:
    """The SHA-256 of every plot that the task left, by its path beside the card."""
    return cast("Mapping[str, str]", record.values.get("plots", {}))


def in_workspace(plot: str) -> str:
    return f"card/{plot}"


def digest(card: str) -> str:
    """What names a card to those who reviewed it, such as `sha256:5f…`; of its bytes in a repository."""
    return f"sha256:{hashlib.sha256(card.encode()).hexdigest()}"


def check_reviewed(job: Job, card: str) -> None:
    """`CardDiffers` when only another card may be published."""
    if job.reviewed and digest(card) != job.reviewed:
        raise CardDiffers(
            f"the card is {digest(card)}, and the one that was reviewed is {job.reviewed}",
            hint=f"Nothing was published. See `pipeline card {job.name} --diff`, and review what it is now.",
        )


def write_commit(job: Job, commit: str) -> None:
    """Complete the lock in the release's folder with the commit that was published."""
    lock = Lock.from_json(job.workspace.path(FILES["release.lock.json"]).read_text())
    locked = replace(lock, target=replace(lock.target, commit=commit))
    write_atomically(job.folders.release(job.name) / "release.lock.json", locked.to_json())


def _card(job: Job) -> Task:
    folder = job.folders.release(job.name)
    imported = imported_figures(job.folders, job.name)

    def run(step: Step) -> Mapping[str, Json]:
        texts = {
            "evidence.json": measuring.evidence(job).merged(imported.measurements).to_json(),
            "release.lock.json": _lock(job, step).to_json(),
        }
        for name, text in texts.items():
            write_atomically(folder / name, text)
        texts["README.md"], drawn = card_and_plots(job.asked, job.folders)
        write_atomically(folder / "README.md", texts["README.md"])
        for name, text in texts.items():
            write_atomically(step.path(FILES[name]), text)
            step.advance(1)
        # Drawn anew, since nothing else tells that a picture which was there shows what it says. Which plots there are
        # depends on what was measured, so they are values and not outputs, which a plan has to name.
        assets.write(folder, drawn, anew=True)
        for plot in drawn:
            write_atomically(step.path(in_workspace(plot.path)), (folder / plot.path).read_bytes())
        return {"plots": {plot.path: sha256(folder / plot.path) for plot in drawn}}

    def check(record: Record) -> str | None:
        return _altered(job) or _rendered_otherwise(job, record)

    needs = (*quantize.names(job), *measuring.measures(job), validate.JUDGE)
    settings: dict[str, Json] = {
        # What is left out is left out here too: a key that a later version adds is no reason to render again.
        "release": job.release.model_dump(mode="json", exclude={"thresholds", "waivers", "fit"}, exclude_none=True),
        "recipe": job.recipe.words(),
    }
    if imported.measurements:
        settings["imported"] = hashlib.sha256(imported.to_json().encode()).hexdigest()
    return Task(TASK, LANE, run, needs, settings, tuple(FILES.values()), len(FILES), check)


def _is_committed_now(job: Job) -> bool:
    """Whether a card that nobody has seen yet says of its inputs that they are not, and could say another thing."""
    lock = Lock.from_json(job.workspace.path(FILES["release.lock.json"]).read_text())
    if job.published_commit or not lock.inputs or not lock.inputs.dirty:
        return False
    inputs = locked_inputs(job.asked, job.folders)
    return inputs is not None and not inputs.dirty


def _altered(job: Job) -> str | None:
    """Why the files in the release's folder are not those that were rendered."""
    for name, output in FILES.items():
        path, file = job.folders.release(job.name) / name, f"releases/{job.name}/{name}"
        if not path.exists() or _before_commit(file, path.read_text()) != job.workspace.path(output).read_text():
            return f"{file} is missing or was changed"
    return None


def _rendered_otherwise(job: Job, record: Record) -> str | None:
    """Why the same inputs would give another card or other plots by now."""
    if _is_committed_now(job):
        return "its inputs are committed now"
    card, drawn = card_and_plots(job.asked, job.folders)
    if card != (job.folders.release(job.name) / "README.md").read_text():
        return "a template, a sibling or notes.md changed"
    return _plots_reason(job, record, drawn)


def _plots_reason(job: Job, record: Record, drawn: tuple[Plot, ...]) -> str | None:
    """Why the plots do not stand, in the release's folder or in the workspace from where they are published."""
    folder = job.folders.release(job.name)
    for path, why in assets.wrong(folder, drawn).items():
        return f"releases/{job.name}/{path} {why}"
    made = plots_made(record)
    if set(made) != {plot.path for plot in drawn}:
        return "the card shows other plots than before"
    for path, digest in made.items():
        file = job.workspace.path(in_workspace(path))
        if not file.exists() or {sha256(file), sha256(folder / path)} != {digest}:
            return f"{in_workspace(path)} is missing or altered"
    return None


def _before_commit(file: str, text: str) -> str:
    """The text as it was rendered: publishing writes the commit into the lock and changes nothing else."""
    if not file.endswith("release.lock.json"):
        return text
    lock = Lock.from_json(text, file)
    return replace(lock, target=replace(lock.target, commit=None)).to_json()


def _lock(job: Job, step: Step) -> Lock:
    outputs = [output for task in quantize.names(job) for output in step.record(task).outputs]
    return replace(
        planned_lock(job),
        model=Manifest(tuple(File(quantize.in_model(o.path), o.size, o.sha256) for o in outputs)),
        made=max((_day(output) for output in outputs), default=""),
        waived=validate.waived(step.record(validate.JUDGE)),
        tools=_tools(job, step),
        inputs=locked_inputs(job.asked, job.folders),
    )


def _day(output: Output) -> str:
    return datetime.fromtimestamp(output.mtime / 1e9, UTC).date().isoformat()


def _tools(job: Job, step: Step) -> dict[str, str]:
    """What the shards were made with, maybe long ago; several versions of a tool where it changed in between."""
    found: dict[str, set[str]] = {}
    for shard in job.layout.shards:
        made_with = step.record(quantize.name(shard.name)).values.get("tools")
        for tool, version in made_with.items() if isinstance(made_with, dict) else ():
            found.setdefault(tool, set()).add(str(version))
    return {tool: " and ".join(sorted(versions)) for tool, versions in found.items()}
