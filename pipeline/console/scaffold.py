"""What `pipeline init` has begun: what was found out, which files are new, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.card.figures import bits, byte_size, quantity
from pipeline.console.terminal import one_line, print_hanging, print_line, print_rows, stdout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from pipeline.release.schema import Fit, Target

_GIB = 1 << 30


@dataclass(frozen=True)
class Begun:
    """base, license: in words. base_size, size: bytes of all weights, of the base and of the result as planned.

    also: other recipes that would do; written: the new files, in `root` where that is not the folder that the command
    was given in; remarks: what else was found out, a sentence each.
    needless: trust in the base's code was given and is not needed.
    """

    name: str
    title: str
    base: str
    parameters: int
    base_size: int
    recipe: str
    is_new: bool
    also: tuple[str, ...]
    size: int
    bits_per_weight: float
    fit: Fit | None
    license: str
    target: Target
    root: str
    written: tuple[str, ...]
    remarks: tuple[str, ...]
    needless: bool


def show_scaffold(begun: Begun, console: Console | None = None) -> None:
    console = console or stdout()
    title = Text.assemble((one_line(begun.name), "bold"), "  ", (one_line(begun.title), "dim"))
    print_hanging(console, Text(), title)
    print_rows(console, list(_found(begun)))
    _section(console, f"written in {one_line(begun.root)}" if begun.root else "written")
    for file in begun.written:
        print_line(console, Text(f"  {one_line(file)}", style="green"))
    _section(console, "next")
    print_rows(console, list(_next(begun.name)))
    remarks = list(_remarks(begun))
    if remarks:
        print_line(console, Text())
    for remark in remarks:
        print_hanging(console, Text("note: ", style="yellow"), Text(one_line(remark)))


def _section(console: Console, heading: str) -> None:
    print_line(console, Text())
    print_line(console, Text(heading, style="bold"))


def _found(begun: Begun) -> Iterator[tuple[Text, Text]]:
    yield _row("base", f"{begun.base}, {quantity(begun.parameters)} weights in {byte_size(begun.base_size)}")
    which = "new" if begun.is_new else "which is there already and fits"
    yield _row("recipe", f"{begun.recipe}, {which}")
    yield _row("result", f"{byte_size(begun.size)}, {bits(begun.bits_per_weight)} bits per weight")
    fit = begun.fit
    if fit and fit.memory and fit.context:
        yield _row("runs on", f"a Mac with {fit.memory // _GIB} GB or more, with {fit.context:,} tokens of context")
    yield _row("license", begun.license)
    yield _row("target", f"{begun.target.repo}, tag {begun.target.tag}")


def _next(name: str) -> Iterator[tuple[Text, Text]]:
    for command, what in (
        (f"pipeline plan {name}", "what comes out, to the byte"),
        (f"pipeline release {name} --until render", "make and measure it; look at the card"),
        (f"pipeline release {name}", "publish it, once its thresholds are met"),
    ):
        yield Text(one_line(command), style="bold cyan"), Text(what, style="dim")


def _remarks(begun: Begun) -> Iterator[str]:
    yield from begun.remarks
    if begun.also:
        yield f"Other recipes fit too: {', '.join(begun.also)}. Name one under `recipe`."
    if begun.needless:
        yield "--trust-remote-code was not needed: no code of the base's repository has to run."
    if begun.fit is None or begun.fit.memory is None:
        yield "No Mac is known to run it. `pipeline plan` shows what memory it takes; --budget would make it smaller."


def _row(name: str, value: str) -> tuple[Text, Text]:
    return Text(name, style="dim"), Text(one_line(value))
