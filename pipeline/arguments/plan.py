"""The arguments of `pipeline plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_name, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "plan",
        "say what a release would do, and why",
        "Shows what would run and the reason for each task, how large the result will be to the byte, what decides\n"
        "that, and what it takes to run it. Reads only, and needs no network where base.json describes the base model.",
        "  pipeline plan demo\n  pipeline plan v2.5 --context 64k --context 200k\n"
        "  pipeline plan demo --json | jq .bits_per_weight",
    )
    parser.set_defaults(run=_run)
    with_name(parser)
    with_workspace(parser)
    parser.add_argument("--all", action="store_true", help="list every task")
    parser.add_argument(
        "--context", metavar="TOKENS", action="append", default=[], help="show the memory at this length, such as 128k"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="sizes, shards, classes, rules and memory for programs")
    how.add_argument("--markdown", action="store_true", help="the sizes alone, as tables for a page of GitHub")


def _run(options: Namespace) -> int:
    from pipeline.commands import plan

    return plan.show(
        options.name,
        options.workspace,
        contexts=options.context,
        every=options.all,
        as_json=options.json,
        as_markdown=options.markdown,
    )
