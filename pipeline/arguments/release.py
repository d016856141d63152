"""The arguments of `pipeline release`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_name, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "release",
        "make and publish a release, or go on with one",
        "Carries out releases/NAME/release.yaml. What was finished before is not done again, whatever ended the run:\n"
        "the same command resumes. Nothing becomes visible before every threshold is met.",
        "  pipeline release demo\n"
        "  pipeline release demo --dry-run         write nothing, send nothing, say what would run\n"
        "  pipeline release demo --until render    everything but publishing\n"
        "  pipeline release demo --commit          commit and tag in this repository what was published\n"
        "  pipeline release v2.5 --workspace /Volumes/Big --disk-window '60 GB'",
    )
    parser.set_defaults(run=_run)
    with_name(parser)
    with_workspace(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the plan and stop")
    parser.add_argument("--until", metavar="STAGE", help="stop after seed, download, quantize, validate or render")
    parser.add_argument("--all", action="store_true", help="list every task of the plan")
    parser.add_argument(
        "--commit",
        action="store_true",
        help="when it is published, commit and tag what happened in the release repository",
    )
    parser.add_argument(
        "--reviewed",
        metavar="DIGEST",
        help="publish no other card than this one: what `pipeline card NAME --digest` printed (else exit 5)",
    )
    parser.add_argument(
        "--disk-window",
        metavar="SIZE",
        help="keep at most this much of the base on disk, deleting what is used up; measuring the base needs all of it",
    )


def _run(options: Namespace) -> int:
    from pipeline.commands.release import release

    return release(
        options.name,
        options.workspace,
        dry_run=options.dry_run,
        until=options.until,
        every=options.all,
        window=options.disk_window,
        record=options.commit,
        reviewed=options.reviewed,
    )
