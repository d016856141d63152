"""What each command does, free of arguments: find the release, open its Hub, plan, run, show."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import card_command, console, published_command, stages
from pipeline.card import quality
from pipeline.engine.plan import plan
from pipeline.engine.run import run
from pipeline.errors import CardDiffers, ThresholdsMissed, Unmeasurable, UsageError
from pipeline.hub.connect import connect
from pipeline.hub.protocol import Repository
from pipeline.manifest import write_atomically
from pipeline.release.compare import compare
from pipeline.release.find import check_release, find_root, release_file
from pipeline.release.load import load_release
from pipeline.release.written import parse_size, parse_tokens
from pipeline.stages import commit, measuring, quantize, render, sign, text, upload, validate
from pipeline.stages.fit import check_fit
from pipeline.stages.front_matter import check_front_matter
from pipeline.stages.happened import check_against, side
from pipeline.stages.job import Folders, Job, open_job
from pipeline.stages.publishing import Publishing
from pipeline.stages.room import check_room
from pipeline.stages.sizes import sizes
from pipeline.weights.base import weight_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WORKSPACE = ".pipeline"
_ANYHOW = Publishing()


def size(text: str) -> int:
    """Bytes of a size such as "60 GB"; `UsageError` for anything else."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--disk-window {error}") from None


def tokens(text: str) -> int:
    """The tokens of a context length such as "128k"; `UsageError` for anything else."""
    try:
        return parse_tokens(text)
    except ValueError as error:
        raise UsageError(f"--context {error}") from None


def release(
    name: str,
    workspace: Path | None,
    *,
    until: str | None,
    every: bool,
    window: int | None,
    publishing: Publishing = _ANYHOW,
) -> int:
    progress = console.Progress()
    _check_publishing(name, workspace, publishing, until)
    with _opened(name, workspace, writable=True, told=progress.remark) as opened, opened.workspace.locked():
        job = replace(opened, reviewed=publishing.reviewed)
        _check_fit(job)
        _check_front_matter(job)
        _check_against(job, until)
        text.check(job)
        planned = plan(stages.tasks(job, until), job.workspace)
        console.show_plan(planned, every=every, dry_run=False)
        publishing.check_planned(job, planned)
        sign.check_planned(job, planned)
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


def show_plan(
    name: str,
    workspace: Path | None,
    *,
    until: str | None = None,
    every: bool = False,
    publishing: Publishing = _ANYHOW,
) -> int:
    _check_publishing(name, workspace, publishing, until)
    with _opened(name, workspace, writable=False) as opened:
        job = replace(opened, reviewed=publishing.reviewed)
        planned = plan(stages.tasks(job, until), job.workspace)
        console.show_plan(planned, every=every)
        publishing.check_planned(job, planned)
        _check_fit(job)
        _check_front_matter(job)
        _check_against(job, until)
    return 0


def show_status(name: str, workspace: Path | None, *, every: bool = False) -> int:
    with _opened(name, workspace, writable=False) as job:
        console.show_status(plan(stages.tasks(job), job.workspace), every=every)
    return 0


def show_sizes(
    name: str,
    workspace: Path | None,
    *,
    contexts: Sequence[int] = (),
    every: bool = False,
    as_json: bool = False,
    as_markdown: bool = False,
) -> int:
    """The whole plan: tasks, and how large the result will be. Exit code 2 comes after it when that does not fit."""
    with _opened(name, workspace, writable=False) as job:
        made = sizes(job, contexts)
        if as_json:
            target = job.release.target
            console.show_json({**made.to_json(), "target": {"repo": target.repo, "tag": target.tag}})
        elif as_markdown:
            console.show_sizes_page(made)
        else:
            console.show_plan(plan(stages.tasks(job), job.workspace), every=every)
            console.show_sizes(made)
        _check_fit(job)
        _check_front_matter(job)
        _check_against(job, None)
    return 0


def card(name: str, *, check: bool) -> int:
    from pipeline.card import assets

    folders = _folders(None)
    path = folders.release(name) / "README.md"
    rendered, drawn = render.card_and_plots(load_release(folders.root, name), folders)
    difference = rendered.encode() != (path.read_bytes() if path.exists() else b"")
    shown = path.relative_to(folders.root)
    if check and not path.exists():
        raise CardDiffers(f"there is no {shown} yet", hint=f"Write it with `pipeline card {name}`, and commit it.")
    if check and difference:
        raise CardDiffers(
            f"{shown} is not what its inputs render",
            hint=f"See `pipeline card {name} --diff`; write it by leaving out --check.",
        )
    if check:
        for plot, why in assets.wrong(path.parent, drawn).items():
            raise CardDiffers(f"{shown.parent}/{plot} {why}", hint=f"`pipeline card {name}` puts it right.")
    else:
        write_atomically(path, rendered)
        console.show_note(f"{shown} is {'written' if difference else 'unchanged'}")
        for plot in assets.write(path.parent, drawn):
            console.show_note(f"{shown.parent / plot} is {'written' if (path.parent / plot).exists() else 'removed'}")
    return 0


def show_touched(revision: str, summary: Path | None) -> int:
    return card_command.show_touched(_folders(None), revision, lambda name: card(name, check=True), summary)


def show_digest(name: str) -> int:
    return card_command.show_digest(name, _folders(None))


def show_body(name: str) -> int:
    return card_command.show_body(name, _folders(None))


def show_card_diff(
    name: str,
    workspace: Path | None,
    against: str | None,
    *,
    form: card_command.Format,
    page: Path | None,
    browse: bool,
) -> int:
    return card_command.show_diff(name, _folders(workspace), against, form=form, page=page, browse=browse)


def show_comparison(names: tuple[str, str], workspace: Path | None, *, as_json: bool = False) -> int:
    folders = _folders(workspace)
    one, other = (check_release(folders.root, name) for name in names)
    compared = compare(side(folders, one), side(folders, other))
    if as_json:
        console.show_json(compared.to_json())
    else:
        console.show_comparison(compared)
    return 0


def verify(name: str, workspace: Path | None, *, as_json: bool = False) -> int:
    return published_command.show_verified(name, _folders(workspace), as_json=as_json)


def rollback(name: str, workspace: Path | None, tag: str, *, dry_run: bool) -> int:
    return published_command.rollback(name, _folders(workspace), tag, dry_run=dry_run)


def yank(name: str, workspace: Path | None, reason: str, *, dry_run: bool) -> int:
    return published_command.yank(name, _folders(workspace), reason, dry_run=dry_run)


def hub(workspace: Path | None, port: int, faults: str | None = None) -> int:
    from pipeline.hub.local.bad_day import load_faults
    from pipeline.hub.local.server import serve

    folder = _folders(workspace).hub
    bad_day = load_faults(faults, lambda fired: console.show_note(str(fired))) if faults else None

    def ready(endpoint: str) -> None:
        console.show_note(
            f"the embedded Hub serves {folder}\n\n    export HF_ENDPOINT={endpoint}\n\n"
            "points any Hub client at it. Ctrl-C ends it."
        )

    serve(folder, ready, port=port, faults=bad_day)
    if bad_day:
        counts = ", ".join(f"{count} {kind}" for kind, count in bad_day.by_kind().items())
        console.show_note(f"faults that fired: {counts or 'none'}")
    return 0


@contextlib.contextmanager
def _opened(
    name: str, workspace: Path | None, *, writable: bool, told: Callable[[str], None] = console.show_note
) -> Iterator[Job]:
    folders = _folders(workspace)
    asked = load_release(folders.root, name)
    with connect(asked.release.hub, folders.hub, writable=writable, told=told) as hub:
        yield open_job(asked, folders, hub, keep=writable)


def _folders(workspace: Path | None) -> Folders:
    root = find_root(Path.cwd())
    return Folders(root, Path(workspace).resolve() if workspace else root / WORKSPACE)


def _check_publishing(name: str, workspace: Path | None, publishing: Publishing, until: str | None) -> None:
    folders = _folders(workspace)
    publishing.check(load_release(folders.root, name), folders, until)


def _check_fit(job: Job) -> None:
    check_fit(job.layout, job.assignment.modules, job.release.fit, release_file(job.name))


def _check_front_matter(job: Job) -> None:
    for remark in check_front_matter(job):
        console.show_note(remark)


def _check_against(job: Job, until: str | None) -> None:
    """Only where a run comes to judging."""
    if any(task.name == validate.JUDGE for task in stages.tasks(job, until)):
        check_against(job)


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
    published = job.workspace.record(upload.COMMIT) if reached >= stages.NAMES.index(upload.LANE.name) else None
    if published:
        made = replace(
            made,
            headline=f"{job.name} is published",
            repository=job.hub.address(Repository(job.release.target.repo), job.release.target.tag),
            tag=job.release.target.tag,
            commit=str(published.values["commit"]),
        )
    return made
