"""What earlier runs left of a release: its lock and its evidence, and the losses that lie in its workspace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pipeline.errors import UsageError
from pipeline.evidence import Evidence, Measurement
from pipeline.lock import Lock
from pipeline.manifest import sha256
from pipeline.release import losses
from pipeline.release.change import Unknown, between
from pipeline.release.compare import Side
from pipeline.release.find import evidence_file, lock_file, release_file
from pipeline.stages import text

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import Json
    from pipeline.release.change import Change
    from pipeline.release.losses import Losses
    from pipeline.stages.job import Folders, Job


def happened(folders: Folders, name: str, why: str) -> tuple[Lock, Evidence]:
    """The lock and the evidence in a release's folder; `UsageError` that says `why` they are wanted, without them."""
    files = lock_file(name), evidence_file(name)
    for file in files:
        if not (folders.root / file).exists():
            raise UsageError(
                f"{file} is not there: {why}",
                hint=f"Run `pipeline release {name} --until render` first.",
            )
    lock, evidence = ((folders.root / file).read_bytes() for file in files)
    return Lock.from_json(lock, files[0]), Evidence.from_json(evidence, files[1])


def side(folders: Folders, name: str) -> Side:
    """What a release is compared by."""
    return Side(name, *happened(folders, name, "releases are compared by it"), losses_of(folders, name))


def losses_of(folders: Folders, name: str) -> Losses | None:
    return losses.read(_losses(folders, name))


def change_from(folders: Folders, earlier: str, later: str, found: Evidence) -> Change | Unknown:
    """How perplexity changed from the release `earlier` to `later`, of which `found` is the evidence so far."""
    before, after = _perplexity(folders, earlier), found.find("perplexity", "quantized")
    if isinstance(before, Unknown):
        return before
    if after is None:
        return Unknown(f"the perplexity of {later} was not measured")
    return between(before, after, (losses_of(folders, earlier), losses_of(folders, later)))


def check_against(job: Job) -> None:
    """`UsageError` where the release that perplexity is held against is seen to say nothing about this one.

    It would be a threshold missed after hours; what only the measuring shows, such as other tokens, still is one.
    """
    thresholds, waived = job.release.thresholds, {waiver.threshold for waiver in job.release.waivers}
    if thresholds.against == "base" or "perplexity_increase" in waived:
        return
    before = _perplexity(job.folders, thresholds.against)
    if isinstance(before, Measurement):
        change = between(before, _foreseen(job, before))
        if not isinstance(change, Unknown):
            return
        before = change
    raise UsageError(
        f"perplexity cannot be held against {thresholds.against}, as {release_file(job.name)} asks: {before.why}",
        hint="Release that one first, measure both on the same text, or change `thresholds.against`.",
    )


def _foreseen(job: Job, before: Measurement) -> Measurement:
    """A figure such as `before`, taken of this release's text by this program."""
    known, theirs = text.foreseen(job), before.settings.get("text")
    same = {key: value for key, value in before.settings.items() if key != "harness"}
    where = {**(theirs if isinstance(theirs, dict) else {}), **cast("dict[str, Json]", known["text"])}
    return replace(before, settings={**same, **known, "text": where})


def _perplexity(folders: Folders, name: str) -> Measurement | Unknown:
    file = evidence_file(name)
    path = folders.root / file
    if not path.exists():
        return Unknown(f"{file} is not there: run `pipeline release {name}` first")
    found = Evidence.from_json(path.read_bytes(), file).find("perplexity", "quantized")
    return found or Unknown(f"the perplexity of {name} was not measured")


def digest(folders: Folders, name: str) -> Json:
    """What tells whether a release left anything else than before; None for what it has not left."""
    paths = {"evidence": folders.root / evidence_file(name), "losses": _losses(folders, name)}
    return {what: sha256(path) if path.exists() else None for what, path in paths.items()}


def _losses(folders: Folders, name: str) -> Path:
    return folders.work(name).path(losses.FILE)
