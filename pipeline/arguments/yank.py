"""The arguments of `pipeline yank`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_name, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "yank",
        "withdraw a release: warn on its card, remove its tag",
        "Puts a warning with your reason at the top of the card on the Hub, then removes the release's tag. Its files\n"
        "stay, so that nothing breaks for those who load it by commit. The tag is not used again: raise target.tag.",
        "  pipeline yank demo --reason 'The chat template drops the system prompt; use v2.' --dry-run\n"
        "  pipeline yank demo --reason 'The chat template drops the system prompt; use v2.'",
    )
    parser.set_defaults(run=_run)
    with_name(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="what people read at the top of the card")
    parser.add_argument("--dry-run", action="store_true", help="show the warning and stop")
    with_workspace(parser)


def _run(options: Namespace) -> int:
    from pipeline.commands.yank import yank

    return yank(options.name, options.workspace, options.reason, dry_run=options.dry_run)
