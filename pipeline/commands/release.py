"""What `pipeline release` does: plan, check, run what has a reason to run, and say where everything is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import console, stages
from pipeline.card import quality
from pipeline.commands.checks import check
from pipeline.commands.opening import folders_of, job_of
from pipeline.engine.plan import plan
from pipeline.engine.run import run
from pipeline.errors import ThresholdsMissed, Unmeasurable, UsageError
from pipeline.hub.protocol import Repository
from pipeline.release.load import load_release
from pipeline.release.written import parse_size
from pipeline.stages import commit, creating, leftovers, measuring, quantize, render, sign, text, upload, validate
from pipeline.stages.publishing import Publishing
from pipeline.stages.room import check_room
from pipeline.weights.base import weight_files

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.stages.job import Job


def release(
    name: str,
    workspace: Path | None,
    *,
    dry_run: bool,
    until: str | None,
    every: bool,
    window: str | None,
    record: bool,
    reviewed: str | None,
) -> int:
    """window: how much of the base may be on the disk, such as "60 GB".

    record: commit and tag what happened; reviewed: digest of the only card that may be published.
    """
    most = _size(window) if window else None
    publishing = Publishing(record, reviewed)
    folders = folders_of(workspace)
    publishing.check(load_release(folders.root, name), folders, until)
    if dry_run:
        return _show_plan(name, workspace, until, publishing, every=every)
    return _carry_out(name, workspace, until, publishing, every=every, window=most)


def _show_plan(name: str, workspace: Path | None, until: str | None, publishing: Publishing, *, every: bool) -> int:
    with job_of(name, workspace, writable=False) as opened:
        job = replace(opened, reviewed=publishing.reviewed)
        planned = plan(stages.tasks(job, until), job.workspace)
        console.show_plan(planned, every=every)
        publishing.check_planned(job, planned)
        check(job, until)
    return 0


def _carry_out(
    name: str, workspace: Path | None, until: str | None, publishing: Publishing, *, every: bool, window: int | None
) -> int:
    progress = console.Progress()
    with job_of(name, workspace, writable=True, told=progress.remark) as opened, opened.workspace.locked():
        job = replace(opened, reviewed=publishing.reviewed)
        check(job, until)
        text.check(job)
        planned = plan(stages.tasks(job, until), job.workspace)
        console.show_plan(planned, every=every, dry_run=False)
        publishing.check_planned(job, planned)
        sign.check_planned(job, planned)
        if swept := leftovers.sweep(job):
            more = f" and {len(swept) - 1} more" if swept[1:] else ""
            console.show_note(f"removed what an earlier release made: {swept[0]}{more}")
        leftovers.check(job)
        check_room(planned, job.workspace, window=window, rehearsal=job.release.hub == "local")
        measuring.import_ahead(planned)
        try:
            with progress:
                run(planned, job.workspace, progress, window=window)
        except ThresholdsMissed as missed:
            if not isinstance(missed, Unmeasurable):
                console.show_verdicts(validate.verdicts(job))
            raise
        console.show_summary(_summary(job, until))
        if job.release.hub == "local":
            console.show_note("`pipeline hub` serves it at that address.")
        if publishing.recorded:
            made = commit.record(job.asked, job.folders)
            console.show_note(f"recorded as {commit.tag(job.asked)}, commit {made[:12]} of the release repository")
    return 0


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--disk-window {error}") from None


def _summary(job: Job, until: str | None) -> console.Summary:
    """Where everything is, as far as this run went."""
    reached = stages.NAMES.index(until) if until else len(stages.NAMES) - 1
    made = console.Summary(f"{job.name} is done up to {until}")
    if reached >= stages.NAMES.index(quantize.LANE.name):
        made = replace(
            made,
            size=job.layout.nbytes,
            base_size=sum(file.size for file in job.base_files if file.path in weight_files(job.base.files)),
            bits_per_weight=job.layout.bits_per_weight,
        )
    if reached >= stages.NAMES.index(validate.LANE.name):
        found = quality.read(measuring.evidence(job))
        made = replace(
            made,
            perplexity=(found.quantized.value, found.quantized.error) if found.quantized else None,
            base_perplexity=(found.base.value, found.base.error) if found.base else None,
            divergence=found.divergence.kl_mean if found.divergence else None,
            top1=found.divergence.top1 if found.divergence else None,
            prompt=found.generation.sample.prompt if found.generation else "",
            sample=found.generation.sample.text if found.generation else "",
            verdicts=validate.verdicts(job),
        )
    if reached >= stages.NAMES.index(render.LANE.name):
        made = replace(made, card=str(job.folders.release(job.name) / "README.md"))
    published = job.workspace.record(creating.COMMIT) if reached >= stages.NAMES.index(upload.LANE.name) else None
    if published:
        made = replace(
            made,
            headline=f"{job.name} is published",
            repository=job.hub.address(Repository(job.release.target.repo), job.release.target.tag),
            tag=job.release.target.tag,
            commit=str(published.values["commit"]),
        )
    return made
