"""The command line: arguments in, one call, an exit code out."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.hub import LOCAL_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

EXIT_CODES = """\
exit codes:
  0    done
  1    a bug (please report the traceback)
  2    something to correct: a release file, the command line, the base model, the disk
  3    thresholds missed, nothing was published
  4    the Hub refused or gave up; the same command resumes
  5    the card is not what its inputs render, not the one that was reviewed, or a published release is not
       what its lock says
  130  interrupted; the same command resumes
"""


def entry() -> None:
    """`main` as a program.

    The interpreter's own end is left out: in it a thread of mlx that is just ending can abort the process on Linux,
    which would then say 134 instead of the exit code.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it may be gone
            stream.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    _stop_politely()
    from pipeline.errors import PipelineError

    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except PipelineError as error:
        from pipeline import console

        console.show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pipeline",
        description="Release mixed-precision MLX quantizations on the Hugging Face Hub: download, quantize, validate, "
        "describe and publish, in one command that resumes.",
        epilog="try it:\n  pipeline release demo              rehearse a whole release on this machine\n"
        "  pipeline release demo --dry-run    only say what would run, and why\n"
        "  pipeline hub                       look at what was published\n\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    release = _command(
        commands,
        "release",
        "make and publish a release, or go on with one",
        "Carries out releases/NAME/release.yaml. What was finished before is not done again, whatever ended the run:\n"
        "the same command resumes. Nothing becomes visible before every threshold is met.",
        "  pipeline release demo\n"
        "  pipeline release demo --dry-run         write nothing, send nothing, say what would run\n"
        "  pipeline release demo --until render    everything but publishing\n"
        "  pipeline release demo --commit          commit and tag in this repository what was published\n"
        "  pipeline release v2.5 --workspace /Volumes/Big --disk-window '60 GB'",
    )
    release.set_defaults(run=_release)
    _with_name(release)
    _with_workspace(release)
    release.add_argument("--dry-run", action="store_true", help="show the plan and stop")
    release.add_argument("--until", metavar="STAGE", help="stop after seed, download, quantize, validate or render")
    release.add_argument("--all", action="store_true", help="list every task of the plan")
    release.add_argument(
        "--commit",
        action="store_true",
        help="when it is published, commit and tag what happened in the release repository",
    )
    release.add_argument(
        "--reviewed",
        metavar="DIGEST",
        help="publish no other card than this one: what `pipeline card NAME --digest` printed (else exit 5)",
    )
    release.add_argument(
        "--disk-window",
        metavar="SIZE",
        help="keep at most this much of the base on disk, deleting what is used up; measuring the base needs all of it",
    )

    _add_init(commands)

    plan = _command(
        commands,
        "plan",
        "say what a release would do, and why",
        "Shows what would run and the reason for each task, how large the result will be to the byte, what decides\n"
        "that, and what it takes to run it. Reads only, and needs no network where base.json describes the base model.",
        "  pipeline plan demo\n  pipeline plan v2.5 --context 64k --context 200k\n"
        "  pipeline plan demo --json | jq .bits_per_weight",
    )
    plan.set_defaults(run=_plan)
    _with_name(plan)
    _with_workspace(plan)
    plan.add_argument("--all", action="store_true", help="list every task")
    plan.add_argument(
        "--context", metavar="TOKENS", action="append", default=[], help="show the memory at this length, such as 128k"
    )
    how = plan.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="sizes, shards, classes, rules and memory for programs")
    how.add_argument("--markdown", action="store_true", help="the sizes alone, as tables for a page of GitHub")

    status = _command(
        commands,
        "status",
        "say what is done and what is left",
        "Shows which tasks are finished, since when, and what the next run would do. Reads only.",
        "  pipeline status demo",
    )
    status.set_defaults(run=_status)
    _with_name(status)
    _with_workspace(status)
    status.add_argument("--all", action="store_true", help="list every task")

    card = _command(
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
    card.set_defaults(run=_card)
    _with_name(card)
    how = card.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="write nothing; exit 5 when the card differs")
    how.add_argument("--digest", action="store_true", help="write nothing; print what `release --reviewed` takes")
    how.add_argument(
        "--body", action="store_true", help="write nothing; print its text for a page without its images and files"
    )
    how.add_argument(
        "--diff", nargs="?", const="", metavar="AGAINST", help="write nothing; show what changed since AGAINST"
    )
    card.add_argument(
        "--format", choices=("term", "github", "json"), help="for people (default), for a comment, for programs"
    )
    card.add_argument("--page", type=Path, metavar="FILE", help="write both cards side by side as one HTML file")
    card.add_argument("--open", action="store_true", help="write that page into the workspace and open a browser")
    _with_workspace(card)

    _add_compare(commands)
    _add_cards(commands)
    _add_published(commands)
    _add_recipe(commands)
    _add_evidence(commands)

    hub = _command(
        commands,
        "hub",
        "run the embedded Hub",
        "Serves what rehearsals have published, to any Hub client on this machine.",
        f"  pipeline hub\n  HF_ENDPOINT=http://127.0.0.1:{LOCAL_PORT} mlx_lm.generate \\\n"
        "      --model demo/SmolLM2-135M-Instruct-MLX-mixed --prompt 'Hello!'\n"
        "  pipeline hub --faults bad-day.yaml    rehearse a bad day, as docs/local-hub.md describes",
    )
    hub.set_defaults(run=_hub)
    _with_workspace(hub)
    hub.add_argument("--port", type=int, default=LOCAL_PORT, help="default: %(default)s")
    hub.add_argument("--faults", metavar="FILE", help="let requests go wrong by the rules of this YAML file")
    return parser


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = _command(
        commands,
        "compare",
        "show two releases side by side",
        "Shows what changes from the first release to the second: size, bits per weight by tensor class, and every\n"
        "measured figure with better, worse or within error, where that error is known. Perplexity is compared\n"
        "token by token where both workspaces hold the losses of the same tokens. Reads only.",
        "  pipeline compare v2.8-v2 v2.5\n  pipeline compare v2.8-v2 v2.5 --json | jq '.figures[] | {figure, word}'",
    )
    compare.set_defaults(run=_compare)
    compare.add_argument("first", metavar="A", help="the release to begin with: the NAME of releases/NAME/release.yaml")
    compare.add_argument("second", metavar="B", help="the release that is judged against it")
    _with_workspace(compare)
    compare.add_argument("--json", action="store_true", help="the same for programs")


def _add_cards(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cards = _command(
        commands,
        "cards",
        "say what a change does to all cards",
        "Checks every card, and shows what changed since a commit on those that it touches: one comment of Markdown\n"
        "for a pull request, of at most 65,536 bytes; nothing where no card is touched. Exit 5 when a card differs\n"
        "from what its inputs render.",
        "  pipeline cards HEAD^1 > comment.md\n  pipeline cards main --summary summary.md",
    )
    cards.set_defaults(run=_cards)
    cards.add_argument("revision", metavar="REVISION", help="the commit of the release repository to compare with")
    cards.add_argument("--summary", type=Path, metavar="FILE", help="write the same there, with more room")


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = _command(
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
    init.set_defaults(run=_init)
    init.add_argument("name", metavar="NAME", help="what the release is to be called: a plain name such as v1")
    init.add_argument("--base", metavar="OWNER/MODEL", required=True, help="the model to quantize, on the Hub")
    init.add_argument(
        "--revision",
        metavar="REV",
        default="main",
        help="a branch, tag or commit of it; its commit is pinned (default: main)",
    )
    init.add_argument(
        "--target",
        metavar="OWNER/NAME",
        help="where to publish (default: the account that is signed in, and a name made of the base's and the bits)",
    )
    init.add_argument(
        "--license", metavar="ID", help="the license, such as `apache-2.0`, where the base's card names none"
    )
    recipe = init.add_mutually_exclusive_group()
    recipe.add_argument("--recipe", metavar="RECIPE", help="the recipe: the NAME of releases/recipes/NAME.yaml")
    recipe.add_argument(
        "--budget",
        metavar="SIZE",
        help="write a new recipe, with which the weights take at most this, such as '20 GB' (default: as many bits "
        "as a model of its size bears well, at most what runs on a Mac)",
    )
    init.add_argument(
        "--hub", choices=("huggingface", "local"), default="huggingface", help="local: the embedded Hub, for rehearsals"
    )
    init.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="where the tokenizer is Python code of the base's repository: let it run. Read it before",
    )
    _with_workspace(init)


def _add_published(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verify = _command(
        commands,
        "verify",
        "compare what is published with its lock",
        "Compares size and digest of every file of a release: as its lock has it, as it lies in the workspace, and as\n"
        "the Hub holds it at the commit that the tag names. Without a workspace, as on a reviewer's machine, local\n"
        "files are not looked at. Exit 5 when anything differs. Reads only.",
        "  pipeline verify demo\n  pipeline verify v2.5 --json | jq '.files[] | select(.hub != \"same\")'",
    )
    verify.set_defaults(run=_verify)
    _with_name(verify)
    _with_workspace(verify)
    verify.add_argument("--json", action="store_true", help="every file and what was found, for programs")

    rollback = _command(
        commands,
        "rollback",
        "make an older tag the present revision, without sending weights",
        "Makes one commit after which main holds exactly the files of the tag: large ones are pointed at, as the Hub\n"
        "has their bytes, small ones are fetched and sent back, and what is newer is deleted. History and tags stay.",
        "  pipeline rollback demo --to v1 --dry-run    say what one commit would do\n  pipeline rollback demo --to v1",
    )
    rollback.set_defaults(run=_rollback)
    _with_name(rollback)
    rollback.add_argument("--to", metavar="TAG", required=True, help="a tag of the release's repository on the Hub")
    rollback.add_argument("--dry-run", action="store_true", help="say what it would do and stop")
    _with_workspace(rollback)

    yank = _command(
        commands,
        "yank",
        "withdraw a release: warn on its card, remove its tag",
        "Puts a warning with your reason at the top of the card on the Hub, then removes the release's tag. Its files\n"
        "stay, so that nothing breaks for those who load it by commit. The tag is not used again: raise target.tag.",
        "  pipeline yank demo --reason 'The chat template drops the system prompt; use v2.' --dry-run\n"
        "  pipeline yank demo --reason 'The chat template drops the system prompt; use v2.'",
    )
    yank.set_defaults(run=_yank)
    _with_name(yank)
    yank.add_argument("--reason", metavar="TEXT", required=True, help="what people read at the top of the card")
    yank.add_argument("--dry-run", action="store_true", help="show the warning and stop")
    _with_workspace(yank)


def _add_recipe(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    recipe = _command(
        commands,
        "recipe",
        "show, import or propose a recipe",
        "Works on recipes, releases/recipes/NAME.yaml: which part of a model is stored with how many bits.",
        "  pipeline recipe show mixed-5-6-8 --for demo\n  pipeline recipe import overrides.txt --name mine\n"
        "  pipeline recipe solve demo --budget '95 MB'",
    )
    actions = recipe.add_subparsers(title="actions", required=True, metavar="ACTION")

    show = _command(
        actions,
        "show",
        "say which module gets what, and why",
        "Shows every tensor class of a release's base model: what it gets, and which line of the recipe decides it.",
        "  pipeline recipe show mixed-5-6-8 --for demo\n  pipeline recipe show uniform-2bit --for demo --json",
    )
    show.set_defaults(run=_recipe_show)
    show.add_argument("name", metavar="NAME", help="a recipe: the NAME of releases/recipes/NAME.yaml")
    show.add_argument("--for", dest="release", metavar="RELEASE", required=True, help="the release with the base model")
    _with_workspace(show)
    show.add_argument("--json", action="store_true", help="the same for programs")

    solve = _command(
        actions,
        "solve",
        "propose a recipe for a budget",
        "Measures on the downloaded base model what every precision loses of every weight matrix, and finds the mix\n"
        "that loses least within a budget. Measurements are kept, so that another budget takes seconds.",
        "  pipeline recipe solve demo --budget '95 MB'\n"
        "  pipeline recipe solve v2.5 --budget '350 GB' --name solved-350gb\n"
        "  pipeline recipe solve v2.5 --budget '350 GB' --allow 'switch_mlp=2 3 4' --allow 'self_attn=8 bf16'",
    )
    solve.set_defaults(run=_recipe_solve)
    solve.add_argument("release", metavar="RELEASE", help="the release whose base model is measured")
    solve.add_argument("--budget", metavar="SIZE", required=True, help="bytes of all weights, such as '350 GB'")
    solve.add_argument(
        "--allow",
        metavar="PATTERN=VALUES",
        action="append",
        default=[],
        help="what modules may get, such as 'switch_mlp=2 3 4,32'; the first that matches holds (default: what the "
        "architecture wishes, else every number of bits in groups of 64, or unquantized)",
    )
    solve.add_argument(
        "--weight",
        metavar="PATTERN=NUMBER",
        action="append",
        default=[],
        help="how much the errors of modules count, such as 'lm_head=4' (default: 1 inside of the layers; outside, as "
        "many as there are layers)",
    )
    solve.add_argument("--name", metavar="NAME", help="write releases/recipes/NAME.yaml, which must not exist yet")
    _with_workspace(solve)
    solve.add_argument("--json", action="store_true", help="sizes, errors and the recipe for programs")

    importing = _command(
        actions,
        "import",
        "make a recipe of what other tools are told",
        "Reads PATTERN=VALUE overrides of mlx_lm.convert (mlx-lm pull request 922) or the tensor types of llama.cpp's\n"
        "llama-quantize, one a line or as on their command lines, and prints them as a recipe.",
        "  pipeline recipe import overrides.txt > releases/recipes/mine.yaml\n"
        "  pipeline recipe import tensor-types.txt --name mine --otherwise 4\n"
        "  pipeline recipe import convert.sh --name mine",
    )
    importing.set_defaults(run=_recipe_import)
    importing.add_argument(
        "file", type=Path, metavar="FILE", help="overrides or tensor types, one a line or as on a command line"
    )
    importing.add_argument("--name", metavar="NAME", help="write releases/recipes/NAME.yaml, which must not exist yet")
    importing.add_argument(
        "--as",
        dest="kind",
        choices=("overrides", "tensor-types"),
        help="what FILE is (default: by its names and types)",
    )
    importing.add_argument(
        "--otherwise", metavar="VALUE", help="for all other modules: bits, `bits,group`, a mode or a dtype"
    )
    importing.add_argument("--layers", type=int, metavar="COUNT", help="how many layers the model has")


def _add_evidence(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evidence = _command(
        commands,
        "evidence",
        "import figures that other programs measured",
        "Imports figures of other programs, such as llama.cpp's llama-bench, to stand beside those that `pipeline`\n"
        "itself measured of a release.",
        "  pipeline evidence import demo llama-bench.json",
    )
    actions = evidence.add_subparsers(title="actions", required=True, metavar="ACTION")
    importing = _command(
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
    importing.set_defaults(run=_evidence_import)
    _with_name(importing)
    importing.add_argument(
        "file", type=Path, metavar="FILE", help="output of `llama-bench -o json`, or a YAML or JSON file of figures"
    )
    importing.add_argument(
        "--source",
        choices=("measured", "reported"),
        help="whether you measured it yourself or somebody reported it (default: measured for llama-bench, else "
        "reported)",
    )
    importing.add_argument("--from", dest="where", metavar="ADDRESS", help="where the figures were reported")
    importing.add_argument("--subject", metavar="MODEL", help="the model's name (default: its GGUF file)")
    importing.add_argument(
        "--command", metavar="LINE", help="the command line that was run (default: put together from its output)"
    )


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, about: str, examples: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=about,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _with_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a release: the NAME of releases/NAME/release.yaml")


def _with_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace",
        type=Path,
        metavar="DIR",
        default=os.environ.get("PIPELINE_WORKSPACE"),
        help="where large files go (default: .pipeline in the release repository, or $PIPELINE_WORKSPACE)",
    )


def _release(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command
    from pipeline.stages.publishing import Publishing

    window = command.size(options.disk_window) if options.disk_window else None
    asked = {"until": options.until, "every": options.all, "publishing": Publishing(options.commit, options.reviewed)}
    if options.dry_run:
        return command.show_plan(options.name, options.workspace, **asked)
    return command.release(options.name, options.workspace, **asked, window=window)


def _init(options: argparse.Namespace) -> int:
    from pipeline.commands import init as init_command

    return init_command.init(
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


def _plan(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    contexts = [command.tokens(text) for text in options.context]
    return command.show_sizes(
        options.name,
        options.workspace,
        contexts=contexts,
        every=options.all,
        as_json=options.json,
        as_markdown=options.markdown,
    )


def _status(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    return command.show_status(options.name, options.workspace, every=options.all)


def _card(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command
    from pipeline.errors import UsageError

    paged = options.page or options.open
    alone = {"--check": options.check, "--digest": options.digest, "--body": options.body}
    option = next((name for name, given in alone.items() if given), None)
    if option and (paged or options.format):
        raise UsageError(f"{option} shows no diff: leave out --format, --page and --open")
    if options.format and options.diff is None:
        raise UsageError("--format says how a diff is shown: add --diff")
    if options.digest:
        return command.show_digest(options.name)
    if options.body:
        return command.show_body(options.name)
    if options.diff is None and not paged:
        return command.card(options.name, check=options.check)
    return command.show_card_diff(
        options.name,
        options.workspace,
        options.diff,
        form=options.format or "term",
        page=options.page,
        browse=options.open,
    )


def _cards(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    return command.show_touched(options.revision, options.summary)


def _compare(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    return command.show_comparison((options.first, options.second), options.workspace, as_json=options.json)


def _verify(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    return command.verify(options.name, options.workspace, as_json=options.json)


def _rollback(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    return command.rollback(options.name, options.workspace, options.to, dry_run=options.dry_run)


def _yank(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    return command.yank(options.name, options.workspace, options.reason, dry_run=options.dry_run)


def _recipe_show(options: argparse.Namespace) -> int:
    from pipeline.commands import recipe as recipe_command

    return recipe_command.show(options.name, options.release, options.workspace, as_json=options.json)


def _recipe_import(options: argparse.Namespace) -> int:
    from pipeline.commands import recipe as recipe_command

    return recipe_command.import_file(
        options.file, options.name, kind=options.kind, otherwise=options.otherwise, layers=options.layers
    )


def _recipe_solve(options: argparse.Namespace) -> int:
    from pipeline.commands import recipe as recipe_command

    return recipe_command.solve(
        options.release,
        options.workspace,
        budget=options.budget,
        allow=options.allow,
        weights=options.weight,
        name=options.name,
        as_json=options.json,
    )


def _evidence_import(options: argparse.Namespace) -> int:
    from pipeline.commands import evidence as evidence_command

    return evidence_command.import_file(
        options.name,
        options.file,
        source=options.source,
        where=options.where,
        subject=options.subject,
        command=options.command,
    )


def _hub(options: argparse.Namespace) -> int:
    from pipeline.commands import release as command

    return command.hub(options.workspace, options.port, options.faults)


def _stop_politely() -> None:
    """The first Ctrl-C or SIGTERM stops between two pieces of work, the second at once; either can be resumed from."""

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, lambda *_: os._exit(130))
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
