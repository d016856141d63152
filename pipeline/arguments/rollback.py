"""The arguments of `pipeline rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_name, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "rollback",
        "make an older tag the present revision, without sending weights",
        "Makes one commit after which main holds exactly the files of the tag: large ones are pointed at, as the Hub\n"
        "has their bytes, small ones are fetched and sent back, and what is newer is deleted. History and tags stay.",
        "  pipeline rollback demo --to v1 --dry-run    say what one commit would do\n  pipeline rollback demo --to v1",
    )
    parser.set_defaults(run=_run)
    with_name(parser)
    parser.add_argument("--to", metavar="TAG", required=True, help="a tag of the release's repository on the Hub")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do and stop")
    with_workspace(parser)


def _run(options: Namespace) -> int:
    from pipeline.commands.rollback import rollback

    return rollback(options.name, options.workspace, options.to, dry_run=options.dry_run)
