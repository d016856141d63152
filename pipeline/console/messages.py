"""Errors, notes, and results that are text already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.console.terminal import harmless, print_hanging, print_line, stderr, stdout
from pipeline.errors import ReleaseFileError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.errors import PipelineError
    from pipeline.manifest import Json


def show_error(error: PipelineError, console: Console | None = None) -> None:
    """What happened and what to do about it, on standard error.

    The problems of a release file are shown as they are: they begin with `file:line:column`, where editors look.
    """
    console = console or stderr()
    if isinstance(error, ReleaseFileError):
        for problem in error.problems:
            for line in harmless(problem).split("\n"):
                print_line(console, Text(line))
    else:
        print_hanging(console, Text("error: ", style="bold red"), Text(harmless(error)))
    if error.hint:
        print_hanging(console, Text("hint: ", style="bold cyan"), Text(harmless(error.hint)))


def show_note(text: str, console: Console | None = None) -> None:
    """A remark beside the result, on standard error."""
    print_hanging(console or stderr(), Text(), Text(harmless(text), style="dim"))


def show_text(text: str, console: Console | None = None) -> None:
    """A result that is text: made harmless on a terminal, to the letter in a file or a pipe."""
    console = console or stdout()
    shown = harmless(text) if console.is_terminal else text
    console.file.write(shown if shown.endswith("\n") else f"{shown}\n")
    console.file.flush()


def show_json(value: Json, console: Console | None = None) -> None:
    """A result for programs; ASCII only, so that it survives every encoding and steers no terminal."""
    show_text(json.dumps(value, indent=2), console)
