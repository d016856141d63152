"""The arguments of `pipeline verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_name, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "verify",
        "compare what is published with its lock",
        "Compares size and digest of every file of a release: as its lock has it, as it lies in the workspace, and as\n"
        "the Hub holds it at the commit that the tag names. Without a workspace, as on a reviewer's machine, local\n"
        "files are not looked at. Exit 5 when anything differs. Reads only.",
        "  pipeline verify demo\n  pipeline verify v2.5 --json | jq '.files[] | select(.hub != \"same\")'",
    )
    parser.set_defaults(run=_run)
    with_name(parser)
    with_workspace(parser)
    parser.add_argument("--json", action="store_true", help="every file and what was found, for programs")


def _run(options: Namespace) -> int:
    from pipeline.commands import verify

    return verify.show(options.name, options.workspace, as_json=options.json)
