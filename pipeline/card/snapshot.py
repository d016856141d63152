"""A release as one place holds it: its card, its figures and its lock, each as far as they are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import PipelineError
from pipeline.evidence import Evidence
from pipeline.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
CARD, EVIDENCE, IMPORTED, LOCK = "README.md", "evidence.json", "imported.json", "release.lock.json"


@dataclass(frozen=True)
class Snapshot:
    """label: the place, in words; remarks: what could not be read there, in sentences without their end.

    another: it is of another release, whose card says other things throughout.
    None stands for what is not known, while evidence without measurements is a release that has none.
    siblings: the evidence of the releases that the card compares with, by their names; those that are not known are
    left out.
    assets: the images that the card shows, by their path.
    """

    label: str
    card: str | None = None
    evidence: Evidence | None = None
    lock: Lock | None = None
    remarks: tuple[str, ...] = ()
    another: bool = False
    assets: Mapping[str, bytes] = field(default_factory=dict)
    siblings: Mapping[str, Evidence] = field(default_factory=dict)


def read(label: str, files: Mapping[str, bytes], *, whole: bool) -> Snapshot:
    """Of the files of a release's folder, by their paths in it.

    whole: what is not among the files does not exist. What this pipeline cannot read is left out, with a remark.
    """
    texts = {name: raw.decode("utf-8", "replace") for name, raw in files.items() if not name.startswith("assets/")}
    remarks: list[str] = []

    def parsed(name: str, parse: Callable[[str, str], T]) -> T | None:
        try:
            return parse(texts[name], f"{name} of {label}") if name in texts else None
        except PipelineError as error:
            remarks.append(str(error))
            return None

    # As for the card itself: what was measured counts only with the lock of that run.
    told = [IMPORTED] if whole and LOCK not in texts else [EVIDENCE, IMPORTED]
    parts = [parsed(name, Evidence.from_json) for name in told]
    measurements = [found.measurements for found in parts if found]
    evidence = Evidence().merged(one for several in measurements for one in several) if measurements else None
    if evidence is None and whole and not texts.keys() & set(told):
        evidence = Evidence()
    return Snapshot(
        label,
        card=texts.get(CARD),
        evidence=evidence,
        lock=parsed(LOCK, Lock.from_json),
        remarks=tuple(remarks),
        assets={name: raw for name, raw in files.items() if name.startswith("assets/")},
    )
