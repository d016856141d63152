"""The arguments of `pipeline evidence`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import choice, command, path, with_name

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "evidence",
        "import figures that other programs measured",
        "Imports figures of other programs, such as llama.cpp's llama-bench, to stand beside those that `pipeline`\n"
        "itself measured of a release.",
        "  pipeline evidence import demo llama-bench.json",
    )
    _add_import(choice(parser, "actions", "ACTION"))


def _add_import(actions: Commands) -> None:
    parser = command(
        actions,
        "import",
        "take over figures from a file",
        "Reads what llama.cpp's `llama-bench -o json` printed, or a YAML or JSON file of figures that were reported\n"
        "elsewhere, into releases/NAME/imported.json. The next release puts them on the card: speeds in columns of\n"
        "their own, perplexities in tables of their own.",
        "  llama-bench -m model.gguf -p 1000 -n 500 -o json > bench.json\n"
        "  pipeline evidence import demo bench.json\n"
        "  pipeline evidence import v2.5 published.yaml\n"
        "  pipeline evidence import v2.5 theirs.json --source reported --from https://example.org/theirs",
    )
    parser.set_defaults(run=_import)
    with_name(parser)
    parser.add_argument(
        "file", type=path, metavar="FILE", help="output of `llama-bench -o json`, or a YAML or JSON file of figures"
    )
    parser.add_argument(
        "--source",
        choices=("measured", "reported"),
        help="whether you measured it yourself or somebody reported it (default: measured for llama-bench, else "
        "reported)",
    )
    parser.add_argument("--from", dest="where", metavar="ADDRESS", help="where the figures were reported")
    parser.add_argument("--subject", metavar="MODEL", help="the model's name (default: its GGUF file)")
    parser.add_argument(
        "--command", metavar="LINE", help="the command line that was run (default: put together from its output)"
    )


def _import(options: Namespace) -> int:
    from pipeline.commands import evidence

    return evidence.import_file(
        options.name,
        options.file,
        source=options.source,
        where=options.where,
        subject=options.subject,
        command=options.command,
    )
