"""What the parsers of all commands have in common: a help that teaches by example, and the options that many take."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from pathlib import Path

Commands: TypeAlias = "_SubParsersAction[ArgumentParser]"


def choice(parser: ArgumentParser, title: str, metavar: str) -> Commands:
    """What commands, or actions of one, are added to. Where none is named the whole help is shown, with exit code 2.

    It is shown as an error is: whoever reads the output of a script gets nothing that could be taken for a result.
    """

    def explain(_: Namespace) -> int:
        parser.print_help(sys.stderr)
        return 2

    parser.set_defaults(run=explain)
    return parser.add_subparsers(title=title, metavar=metavar)


def command(commands: Commands, name: str, summary: str, about: str, examples: str) -> ArgumentParser:
    """One command; its module sets the default `run`, the call that `pipeline.cli` makes with the parsed options."""
    return commands.add_parser(
        name,
        help=summary,
        description=about,
        epilog=f"examples:\n{examples}",
        formatter_class=RawDescriptionHelpFormatter,
    )


def path(text: str) -> Path:
    """Loads `pathlib` when there is one: that takes as long as making all parsers, and `--help` needs none."""
    from pathlib import Path

    return Path(text)


def with_name(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a release: the NAME of releases/NAME/release.yaml")


def with_workspace(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--workspace",
        type=path,
        metavar="DIR",
        default=os.environ.get("PIPELINE_WORKSPACE") or None,
        help="where large files go (default: .pipeline in the release repository, or $PIPELINE_WORKSPACE)",
    )
