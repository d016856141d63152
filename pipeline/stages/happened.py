"""What earlier runs left of a release: its lock and its evidence, and the losses that lie in its workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.evidence import Evidence
from pipeline.lock import Lock
from pipeline.manifest import sha256
from pipeline.release import losses
from pipeline.release.change import Unknown, between
from pipeline.release.compare import Side

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import Json
    from pipeline.release.change import Change
    from pipeline.release.losses import Losses
    from pipeline.stages.job import Folders


def happened(folders: Folders, name: str, why: str) -> tuple[Lock, Evidence]:
    """The lock and the evidence in a release's folder; `UsageError` that says `why` they are wanted, without them."""
    lock, evidence = (folders.release(name) / file for file in ("release.lock.json", "evidence.json"))
    for path in (lock, evidence):
        if not path.exists():
            raise UsageError(
                f"releases/{name}/{path.name} is not there: {why}",
                hint=f"Run `pipeline release {name} --until render` first.",
            )
    return Lock.from_json(lock.read_text()), Evidence.from_json(evidence.read_text())


def side(folders: Folders, name: str) -> Side:
    """What a release is compared by."""
    return Side(name, *happened(folders, name, "releases are compared by it"), losses_of(folders, name))


def losses_of(folders: Folders, name: str) -> Losses | None:
    return losses.read(_losses(folders, name))


def change_from(folders: Folders, earlier: str, later: str, found: Evidence) -> Change | Unknown:
    """How perplexity changed from the release `earlier` to `later`, of which `found` is the evidence so far."""
    path = folders.release(earlier) / "evidence.json"
    if not path.exists():
        return Unknown(f"releases/{earlier}/evidence.json is not there: run `pipeline release {earlier}` first")
    before = Evidence.from_json(path.read_text()).find("perplexity", "quantized")
    after = found.find("perplexity", "quantized")
    if before is None or after is None:
        return Unknown(f"the perplexity of {later if before else earlier} was not measured")
    return between(before, after, (losses_of(folders, earlier), losses_of(folders, later)))


def digest(folders: Folders, name: str) -> Json:
    """What tells whether a release left anything else than before; None for what it has not left."""
    paths = {"evidence": folders.release(name) / "evidence.json", "losses": _losses(folders, name)}
    return {what: sha256(path) if path.exists() else None for what, path in paths.items()}


def _losses(folders: Folders, name: str) -> Path:
    return folders.work(name).path(losses.FILE)
