"""Is it good enough? Measured as evidence first, judged by the release's thresholds afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pipeline.engine.task import Task
from pipeline.errors import ThresholdsMissed
from pipeline.lock import LockedWaiver
from pipeline.release.judge import judge
from pipeline.stages import measuring
from pipeline.stages.happened import change_from, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Record
    from pipeline.manifest import Json
    from pipeline.release.judge import Verdict
    from pipeline.stages.job import Job

LANE = measuring.LANE
JUDGE = "validate/thresholds"


def tasks(job: Job) -> list[Task]:
    return [*measuring.tasks(job), _judge(job)]


def verdicts(job: Job) -> tuple[Verdict, ...]:
    """Asked and measured, threshold by threshold; judging measures nothing, so it can be done again at any time."""
    found, thresholds = measuring.evidence(job), job.release.thresholds
    earlier = change_from(job.folders, thresholds.against, job.name, found) if thresholds.against != "base" else None
    return judge(thresholds, found, footprint=job.layout, earlier=earlier, waivers=job.release.waivers)


def waived(record: Record) -> tuple[LockedWaiver, ...]:
    """The thresholds that were missed and waived, from the record of judging."""
    rows = cast("Sequence[Mapping[str, str]]", record.values.get("waived", ()))
    return tuple(LockedWaiver(**row) for row in rows)


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
    return Task(JUDGE, LANE, run, measuring.judged(job), settings)
