"""What `pipeline plan` does: say what would run, and how large the result will be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import console, stages
from pipeline.commands.checks import check
from pipeline.commands.opening import job_of
from pipeline.engine.plan import plan
from pipeline.errors import UsageError
from pipeline.release.written import parse_tokens
from pipeline.stages.sizes import sizes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def show(
    name: str, workspace: Path | None, *, contexts: Sequence[str], every: bool, as_json: bool, as_markdown: bool
) -> int:
    """The whole plan: tasks, and how large the result will be. Exit code 2 comes after it when that does not fit."""
    lengths = [_tokens(text) for text in contexts]
    with job_of(name, workspace, writable=False) as job:
        made = sizes(job, lengths)
        if as_json:
            target = job.release.target
            console.show_json({**made.to_json(), "target": {"repo": target.repo, "tag": target.tag}})
        elif as_markdown:
            console.show_sizes_page(made)
        else:
            console.show_plan(plan(stages.tasks(job), job.workspace), every=every)
            console.show_sizes(made)
        check(job)
    return 0


def _tokens(text: str) -> int:
    try:
        return parse_tokens(text)
    except ValueError as error:
        raise UsageError(f"--context {error}") from None
