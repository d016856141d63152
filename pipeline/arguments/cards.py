"""The arguments of `pipeline cards`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, path

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "cards",
        "say what a change does to all cards",
        "Checks every card, and shows what changed since a commit on those that it touches: one comment of Markdown\n"
        "for a pull request, of at most 65,536 bytes; nothing where no card is touched. Exit 5 when a card differs\n"
        "from what its inputs render.",
        "  pipeline cards HEAD^1 > comment.md\n  pipeline cards main --summary summary.md",
    )
    parser.set_defaults(run=_run)
    parser.add_argument("revision", metavar="REVISION", help="the commit of the release repository to compare with")
    parser.add_argument("--summary", type=path, metavar="FILE", help="write the same there, with more room")


def _run(options: Namespace) -> int:
    from pipeline.commands import cards

    return cards.show(options.revision, options.summary)
