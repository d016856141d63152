"""The arguments of `pipeline recipe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import choice, command, path, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "recipe",
        "show, import or propose a recipe",
        "Works on recipes, releases/recipes/NAME.yaml: which part of a model is stored with how many bits.",
        "  pipeline recipe show mixed-5-6-8 --for demo\n  pipeline recipe import overrides.txt --name mine\n"
        "  pipeline recipe solve demo --budget '95 MB'",
    )
    actions = choice(parser, "actions", "ACTION")
    _add_show(actions)
    _add_solve(actions)
    _add_import(actions)


def _add_show(actions: Commands) -> None:
    parser = command(
        actions,
        "show",
        "say which module gets what, and why",
        "Shows every tensor class of a release's base model: what it gets, and which line of the recipe decides it.",
        "  pipeline recipe show mixed-5-6-8 --for demo\n  pipeline recipe show uniform-2bit --for demo --json",
    )
    parser.set_defaults(run=_show)
    parser.add_argument("name", metavar="NAME", help="a recipe: the NAME of releases/recipes/NAME.yaml")
    parser.add_argument(
        "--for", dest="release", metavar="RELEASE", required=True, help="the release with the base model"
    )
    with_workspace(parser)
    parser.add_argument("--json", action="store_true", help="the same for programs")


def _add_solve(actions: Commands) -> None:
    parser = command(
        actions,
        "solve",
        "propose a recipe for a budget",
        "Measures on the downloaded base model what every precision loses of every weight matrix, and finds the mix\n"
        "that loses least within a budget. Measurements are kept, so that another budget takes seconds.",
        "  pipeline recipe solve demo --budget '95 MB'\n"
        "  pipeline recipe solve v2.5 --budget '350 GB' --name solved-350gb\n"
        "  pipeline recipe solve v2.5 --budget '350 GB' --allow 'switch_mlp=2 3 4' --allow 'self_attn=8 bf16'",
    )
    parser.set_defaults(run=_solve)
    parser.add_argument("release", metavar="RELEASE", help="the release whose base model is measured")
    parser.add_argument("--budget", metavar="SIZE", required=True, help="bytes of all weights, such as '350 GB'")
    parser.add_argument(
        "--allow",
        metavar="PATTERN=VALUES",
        action="append",
        default=[],
        help="what modules may get, such as 'switch_mlp=2 3 4,32'; the first that matches holds (default: what the "
        "architecture wishes, else every number of bits in groups of 64, or unquantized)",
    )
    parser.add_argument(
        "--weight",
        metavar="PATTERN=NUMBER",
        action="append",
        default=[],
        help="how much the errors of modules count, such as 'lm_head=4' (default: 1 inside of the layers; outside, as "
        "many as there are layers)",
    )
    parser.add_argument("--name", metavar="NAME", help="write releases/recipes/NAME.yaml, which must not exist yet")
    with_workspace(parser)
    parser.add_argument("--json", action="store_true", help="sizes, errors and the recipe for programs")


def _add_import(actions: Commands) -> None:
    parser = command(
        actions,
        "import",
        "make a recipe of what other tools are told",
        "Reads PATTERN=VALUE overrides of mlx_lm.convert (mlx-lm pull request 922) or the tensor types of llama.cpp's\n"
        "llama-quantize, one a line or as on their command lines, and prints them as a recipe.",
        "  pipeline recipe import overrides.txt > releases/recipes/mine.yaml\n"
        "  pipeline recipe import tensor-types.txt --name mine --otherwise 4\n"
        "  pipeline recipe import convert.sh --name mine",
    )
    parser.set_defaults(run=_import)
    parser.add_argument(
        "file", type=path, metavar="FILE", help="overrides or tensor types, one a line or as on a command line"
    )
    parser.add_argument("--name", metavar="NAME", help="write releases/recipes/NAME.yaml, which must not exist yet")
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("overrides", "tensor-types"),
        help="what FILE is (default: by its names and types)",
    )
    parser.add_argument(
        "--otherwise", metavar="VALUE", help="for all other modules: bits, `bits,group`, a mode or a dtype"
    )
    parser.add_argument("--layers", type=int, metavar="COUNT", help="how many layers the model has")


def _show(options: Namespace) -> int:
    from pipeline.commands import recipe

    return recipe.show(options.name, options.release, options.workspace, as_json=options.json)


def _import(options: Namespace) -> int:
    from pipeline.commands import recipe

    return recipe.import_file(
        options.file, options.name, kind=options.kind, otherwise=options.otherwise, layers=options.layers
    )


def _solve(options: Namespace) -> int:
    from pipeline.commands import recipe

    return recipe.solve(
        options.release,
        options.workspace,
        budget=options.budget,
        allow=options.allow,
        weights=options.weight,
        name=options.name,
        as_json=options.json,
    )
