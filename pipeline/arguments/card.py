"""The arguments of `pipeline card`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, path, with_name, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "card",
        "render the model card from what was measured",
        "Renders releases/NAME/README.md from the release, its recipe, the lock and the evidence. A diff shows what\n"
        "changed of its figures, recipe, front matter and words, worst first. AGAINST is what git's HEAD holds, or\n"
        "`published` (what the Hub holds), a git revision, a README.md, an evidence.json, a folder of them, or\n"
        "another release or model from elsewhere, by its name or its folder.",
        "  pipeline card demo                       write it\n"
        "  pipeline card demo --check               exit 5 when the committed card is another\n"
        "  pipeline card demo --diff                what changed since HEAD\n"
        "  pipeline card demo --diff published --format github\n"
        "  pipeline card demo --diff main --open    both cards side by side, in a browser",
    )
    parser.set_defaults(run=_run)
    with_name(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="write nothing; exit 5 when the card differs")
    how.add_argument("--digest", action="store_true", help="write nothing; print what `release --reviewed` takes")
    how.add_argument(
        "--body", action="store_true", help="write nothing; print its text for a page without its images and files"
    )
    how.add_argument(
        "--diff", nargs="?", const="", metavar="AGAINST", help="write nothing; show what changed since AGAINST"
    )
    parser.add_argument(
        "--format", choices=("term", "github", "json"), help="for people (default), for a comment, for programs"
    )
    parser.add_argument("--page", type=path, metavar="FILE", help="write both cards side by side as one HTML file")
    parser.add_argument("--open", action="store_true", help="write that page into the workspace and open a browser")
    with_workspace(parser)


def _run(options: Namespace) -> int:
    from pipeline.commands import card
    from pipeline.errors import UsageError

    paged = options.page or options.open
    alone = {"--check": options.check, "--digest": options.digest, "--body": options.body}
    option = next((name for name, given in alone.items() if given), None)
    if option and (paged or options.format):
        raise UsageError(f"{option} shows no diff: leave out --format, --page and --open")
    if options.format and options.diff is None:
        raise UsageError("--format says how a diff is shown: add --diff")
    if options.digest:
        return card.show_digest(options.name)
    if options.body:
        return card.show_body(options.name)
    if options.diff is None and not paged:
        return card.card(options.name, check=options.check)
    return card.show_diff(
        options.name,
        options.workspace,
        options.diff,
        form=options.format or "term",
        page=options.page,
        browse=options.open,
    )
