"""The arguments of `pipeline init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_workspace

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "init",
        "begin a release of a model of your choice",
        "Reads a base model's config, card and headers from the Hub, a few MB whatever its size, and writes what a\n"
        "release begins with: releases/NAME/release.yaml, commented to be read and changed, base.json, and a recipe\n"
        "where the repository has none that was made for such a model. In an empty folder it begins a repository.\n"
        "Nothing is written unless `pipeline plan NAME` goes through, and nothing is ever written over.",
        "  pipeline init mine --base Qwen/Qwen3-0.6B\n"
        "  pipeline init mine --base Qwen/Qwen3-30B-A3B --budget '20 GB' --target someone/Qwen3-30B-A3B-MLX\n"
        "  pipeline init k2.5 --base moonshotai/Kimi-K2.5 --recipe kimi-k2.5-2.5bit --trust-remote-code\n"
        "  pipeline init rehearsal --base demo/SmolLM2-135M-Instruct --hub local    no account, no upload",
    )
    parser.set_defaults(run=_run)
    parser.add_argument("name", metavar="NAME", help="what the release is to be called: a plain name such as v1")
    parser.add_argument("--base", metavar="OWNER/MODEL", required=True, help="the model to quantize, on the Hub")
    parser.add_argument(
        "--revision",
        metavar="REV",
        default="main",
        help="a branch, tag or commit of it; its commit is pinned (default: main)",
    )
    parser.add_argument(
        "--target",
        metavar="OWNER/NAME",
        help="where to publish (default: the account that is signed in, and a name made of the base's and the bits)",
    )
    parser.add_argument(
        "--license", metavar="ID", help="the license, such as `apache-2.0`, where the base's card names none"
    )
    recipe = parser.add_mutually_exclusive_group()
    recipe.add_argument("--recipe", metavar="RECIPE", help="the recipe: the NAME of releases/recipes/NAME.yaml")
    recipe.add_argument(
        "--budget",
        metavar="SIZE",
        help="write a new recipe, with which the weights take at most this, such as '20 GB' (default: as many bits "
        "as a model of its size bears well, at most what runs on a Mac)",
    )
    parser.add_argument(
        "--hub", choices=("huggingface", "local"), default="huggingface", help="local: the embedded Hub, for rehearsals"
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="where the tokenizer is Python code of the base's repository: let it run. Read it before",
    )
    with_workspace(parser)


def _run(options: Namespace) -> int:
    from pipeline.commands.init import init

    return init(
        options.name,
        options.workspace,
        base=options.base,
        revision=options.revision,
        place=options.hub,
        target=options.target,
        license_=options.license,
        recipe=options.recipe,
        budget=options.budget,
        trust_remote_code=options.trust_remote_code,
    )
