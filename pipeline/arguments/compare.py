"""The arguments of `pipeline compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "compare",
        "show two releases side by side",
        "Shows what changes from the first release to the second: size, bits per weight by tensor class, and every\n"
        "measured figure with better, worse or within error, where that error is known. Perplexity is compared\n"
        "token by token where both workspaces hold the losses of the same tokens. Reads only.",
        "  pipeline compare v2.8-v2 v2.5\n  pipeline compare v2.8-v2 v2.5 --json | jq '.figures[] | {figure, word}'",
    )
    parser.set_defaults(run=_run)
    parser.add_argument("first", metavar="A", help="the release to begin with: the NAME of releases/NAME/release.yaml")
    parser.add_argument("second", metavar="B", help="the release that is judged against it")
    with_workspace(parser)
    parser.add_argument("--json", action="store_true", help="the same for programs")


def _run(options: Namespace) -> int:
    from pipeline.commands import compare

    return compare.show(options.first, options.second, options.workspace, as_json=options.json)
