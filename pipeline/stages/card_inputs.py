"""What the card of a release is made from, gathered from the files in `releases/`; of a release yet to run, planned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import provenance
from pipeline.card.inputs import WEB, Inputs, Sibling
from pipeline.errors import UsageError
from pipeline.evidence import Evidence
from pipeline.lock import ContextMemory, Lock, LockedBase, LockedRecipe, LockedRule, LockedTarget, TensorClass
from pipeline.manifest import File, Manifest
from pipeline.release.elsewhere import load_elsewhere
from pipeline.release.find import elsewhere_names, evidence_file, imported_file, lock_file, notes_file, release_file
from pipeline.release.layers import layer_class
from pipeline.release.load import load_release
from pipeline.stages.happened import happened
from pipeline.stages.job import open_planned
from pipeline.stages.sizes import sizes
from pipeline.weights.base import weight_files
from pipeline.weights.side_files import side_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.manifest import Json
    from pipeline.metadata.base_card import BaseCard
    from pipeline.release.load import Asked
    from pipeline.release.recipe import Assignment
    from pipeline.stages.job import Folders, Planned


def inputs_of(asked: Asked, folders: Folders) -> Inputs:
    """`UsageError` for a release that neither ran nor has a description of its base to be planned from."""
    lock, released = _lock(asked, folders)
    notes = folders.root / notes_file(asked.name)
    return Inputs(
        name=asked.name,
        release=asked.release,
        recipe=asked.recipe,
        lock=lock,
        evidence=_evidence(folders, asked.name, released=released),
        siblings=tuple(_sibling(folders, name, asked) for name in asked.release.siblings),
        notes=notes.read_text(encoding="utf-8") if notes.exists() else "",
        released=released,
    )


def imported_figures(folders: Folders, name: str) -> Evidence:
    """The figures of other programs, which a person took over with `pipeline evidence import`."""
    file = imported_file(name)
    path = folders.root / file
    return Evidence.from_json(path.read_text(), file) if path.exists() else Evidence()


def planned_lock(job: Planned) -> Lock:
    """What is known before anything is made: all but the digests of the files, and none of the texts' sizes."""
    deciding = _deciding(job.assignment)
    rules = zip(job.recipe.rules, job.assignment.counts, strict=True)
    shards = [File(shard.name, shard.size) for shard in job.layout.shards]
    weights = sum(job.base.files[path].size for path in weight_files(job.base.files))
    return Lock(
        base=LockedBase(
            job.base.repo, job.base.revision, job.base.files.digest, _facts(job.base.card), weights or None
        ),
        recipe=LockedRecipe(
            job.recipe.name, job.recipe.version, job.recipe.digest, str(job.recipe.otherwise or "error")
        ),
        model=Manifest((*shards, *(File(file.path, file.size) for file in side_files(job.base.files)))),
        parameters=job.layout.parameters,
        bytes=job.layout.nbytes,
        bits_per_weight=job.layout.bits_per_weight,
        classes=tuple(
            TensorClass(
                row.name, row.parameters, row.precision, row.nbytes, deciding.get((row.name, row.precision), [])
            )
            for row in job.layout.classes
        ),
        rules=tuple(
            LockedRule(rule.match, str(rule.layers or ""), str(rule.decision), count, rule.why) for rule, count in rules
        ),
        tools=provenance.tools(),
        target=LockedTarget(job.release.target.repo, job.release.target.tag),
        pipeline_tag=_pipeline_tag(job),
        text_only=not job.layout.keeps_vision and _sees(job.base.config),
        memory=tuple(ContextMemory(row.context, row.nbytes) for row in sizes(job).memory if row.nbytes is not None),
    )


def _facts(card: BaseCard | None) -> BaseCard | None:
    """Without what was dropped of it, which is said when the release is planned."""
    return replace(card, dropped=()) if card else None


def _sees(config: Mapping[str, Json]) -> bool:
    """Whether the base describes a part that reads images."""
    return any(isinstance(config.get(key), dict) for key in ("vision_config", "vision_tower_config"))


def _pipeline_tag(job: Planned) -> str:
    """The base's own where the model still sees; mlx-lm drops the vision of most."""
    own = job.base.card.pipeline_tag if job.base.card else ""
    return own if own and job.layout.keeps_vision else "text-generation"


def _deciding(assignment: Assignment) -> dict[tuple[str, str], list[int]]:
    """By tensor class and precision, the numbers of the rules that decided it, those that decided nothing left out."""
    numbers = {index: number for number, index in enumerate((i for i, n in enumerate(assignment.counts) if n), 1)}
    found: dict[tuple[str, str], set[int]] = {}
    for one in assignment.modules:
        if isinstance(one.by, int):
            key = layer_class(one.module.path), str(one.precision)
            found.setdefault(key, set()).add(numbers[one.by])
    return {key: sorted(given) for key, given in found.items()}


def _lock(asked: Asked, folders: Folders) -> tuple[Lock, bool]:
    """The lock of what happened, or else of what is planned, and which of the two.

    Where another recipe or base is asked for than those that the files were made from, others are planned.
    """
    if (folders.root / lock_file(asked.name)).exists():
        lock = happened(folders, asked.name, "the card is made from it")[0]
        base = asked.release.base
        if (lock.recipe.digest, lock.base.repo, lock.base.revision) == (asked.recipe.digest, base.repo, base.revision):
            return lock, True
    planned = open_planned(asked, folders)
    if planned is None:
        raise UsageError(
            f"releases/{asked.name} holds neither a lock nor a base.json, from one of which the card is made",
            hint=f"Run `pipeline release {asked.name} --until render` first.",
        )
    return planned_lock(planned), False


def _evidence(folders: Folders, name: str, *, released: bool) -> Evidence:
    imported = imported_figures(folders, name)
    if not released:
        return imported
    file = evidence_file(name)
    return Evidence.from_json((folders.root / file).read_text(), file).merged(imported.measurements)


def _sibling(folders: Folders, name: str, of: Asked) -> Sibling:
    """`UsageError` for one of another base, with which nothing can be compared."""
    if name in elsewhere_names(folders.root):
        made = load_elsewhere(folders.root, name)
        _check_base(made.base, name, of)
        return Sibling(name, made.label, made.address or "", made.size, None, imported_figures(folders, name))
    asked = load_release(folders.root, name)
    _check_base(asked.release.base.repo, name, of)
    lock, released = _lock(asked, folders)
    evidence = _evidence(folders, name, released=released)
    target = asked.release.target
    address = "" if asked.release.hub == "local" else f"{WEB}/{target.repo}"
    if address and lock.target.commit:
        address += f"/tree/{target.tag}"
    return Sibling(name, asked.release.label or name, address, lock.bytes, lock.bits_per_weight, evidence)


def _check_base(repo: str, name: str, of: Asked) -> None:
    if repo != of.release.base.repo:
        raise UsageError(
            f"{name} is a model of {repo}, and {of.name}, which names it as a sibling, of {of.release.base.repo}",
            hint=f"Take it out of `siblings` in {release_file(of.name)}.",
        )
