"""The command line: arguments in, one call, an exit code out."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from pipeline.arguments import (
    card,
    cards,
    compare,
    evidence,
    hub,
    init,
    plan,
    recipe,
    release,
    rollback,
    status,
    verify,
    yank,
)
from pipeline.arguments.parser import choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

# In the order in which `pipeline --help` lists them.
COMMANDS = (release, init, plan, status, card, compare, cards, verify, rollback, yank, recipe, evidence, hub)
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
    commands = choice(parser, "commands", "COMMAND")
    for one in COMMANDS:
        one.add(commands)
    return parser


def _stop_politely() -> None:
    """The first Ctrl-C or SIGTERM stops between two pieces of work, the second at once; either can be resumed from."""

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, lambda *_: os._exit(130))
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
