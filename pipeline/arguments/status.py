"""The arguments of `pipeline status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_name, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "status",
        "say what is done and what is left",
        "Shows which tasks are finished, since when, and what the next run would do. Reads only.",
        "  pipeline status demo",
    )
    parser.set_defaults(run=_run)
    with_name(parser)
    with_workspace(parser)
    parser.add_argument("--all", action="store_true", help="list every task")


def _run(options: Namespace) -> int:
    from pipeline.commands import status

    return status.show(options.name, options.workspace, every=options.all)
