"""How large a release comes out: its tensors by class, who decided, what runs it, and whether that fits."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.card.figures import byte_size, grouped, percent, quantity
from pipeline.console.terminal import one_line, print_hanging, print_line, print_rows, stdout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from pipeline.stages.sizes import Memory, RuleCount, Sizes

    Row = Sequence[Text]

_GIB = 1 << 30
_NAMED = 5


def show_sizes(sizes: Sizes, console: Console | None = None) -> None:
    """Everything about sizes, section by section, the verdict last."""
    console = console or stdout()
    for rows, right in (
        (list(_result(sizes)), {9}),
        (list(_classes(sizes)), {1, 3, 4}),
        (list(_rules(sizes)), {0, 3}),
        (list(_memory(sizes)), {0, 1, 2}),
        (list(_disk(sizes)), {1}),
    ):
        print_line(console, Text())
        print_rows(console, rows, right=right)
    print_line(console, Text())
    if sizes.note:
        print_hanging(console, Text("note: ", style="yellow"), Text(one_line(sizes.note), style="dim"))
    if sizes.fits is not None:
        asked = Text("It fits what `fit` asks for." if sizes.fits else "It does not fit what `fit` asks for.")
        asked.stylize("bold green" if sizes.fits else "bold red")
        print_hanging(console, Text(), asked)


def _result(sizes: Sizes) -> Iterator[Row]:
    yield _heading("result", f"{len(sizes.shards)} shards" if len(sizes.shards) > 1 else "one shard")
    yield _named("parameters", grouped(sizes.parameters))
    yield _named("size", f"{grouped(sizes.nbytes)} bytes = {gigabytes(sizes.nbytes)}")
    yield _named("bits per weight", f"{sizes.bits_per_weight:.3f}, scales and biases included")
    yield _named("largest shard", byte_size(max((size for _, size in sizes.shards), default=0)))
    if sizes.whole:
        shown = ", ".join(one_line(name) for name in sizes.whole[:_NAMED])
        more = f" and {len(sizes.whole) - _NAMED} more" if len(sizes.whole) > _NAMED else ""
        yield _named("computed whole", f"{shown}{more}: in the memory of a whole tensor, for slabs cannot be cut")


def _classes(sizes: Sizes) -> Iterator[Row]:
    yield _heading("tensors", "by class, over all layers")
    yield _head("class", "parameters", "precision", "size", "share", "")
    for row in sizes.classes:
        share = row.nbytes / sizes.nbytes if sizes.nbytes else 0
        yield (
            Text(one_line(row.name)),
            Text(quantity(row.parameters)),
            Text(one_line(row.precision)),
            Text(byte_size(row.nbytes)),
            Text(percent(share) if share >= 0.001 else "<0.1 %"),
            Text("█" * round(20 * share), style="blue"),
        )


def _rules(sizes: Sizes) -> Iterator[Row]:
    files = Counter(rule.file for rule in sizes.rules)
    yield _heading("rules", ", ".join(one_line(file) for file in files) or "none")
    yield _head("line", "match", "precision", "modules", "layers")
    for rule in sizes.rules:
        place = str(rule.line) if len(files) == 1 else f"{PurePosixPath(rule.file).stem}:{rule.line}"
        yield _rule(one_line(place), one_line(rule.match), rule)
    for rule in sizes.beyond:
        wish = rule.match == "architecture"
        yield _rule("", "the architecture's own wish, no rule" if wish else "otherwise, for what no rule matches", rule)


def _rule(place: str, match: str, rule: RuleCount) -> Row:
    style = "" if rule.modules else "dim"
    layers = one_line(rule.layers) if rule.layers else "" if not place else "all"
    cells = (place, match, one_line(rule.precision), grouped(rule.modules), layers)
    return tuple(Text(cell, style=style) for cell in cells)


def _memory(sizes: Sizes) -> Iterator[Row]:
    yield _heading("memory", "to run it: weights and cache, without what a computation holds for a moment")
    yield _head("context", "cache", "together", "fits")
    for row in sizes.memory:
        together = gigabytes(row.nbytes) if row.nbytes is not None else f"over {gigabytes(row.weights)}"
        cache = "not known" if row.cache is None else byte_size(row.cache)
        yield Text(grouped(row.context)), Text(cache), Text(together), fitting(row, sizes)


def fitting(row: Memory, sizes: Sizes) -> Text:
    """On the machine that `fit` names, beside what it leaves to others; else on which Mac."""
    if row.nbytes is None:
        return Text("not known", style="dim")
    if sizes.room is not None:
        left = sizes.room - row.nbytes
        return (
            Text(f"yes, {byte_size(left)} to spare", "green")
            if left >= 0
            else Text(f"no, {byte_size(-left)} too much", "red")
        )
    if row.mac is None:
        return Text("on no Mac", style="red")
    return Text(f"on a Mac with {row.mac // _GIB} GB or more")


def _disk(sizes: Sizes) -> Iterator[Row]:
    disk = sizes.disk
    yield _heading("disk", "to make it")
    yield Text("base and result"), Text(gigabytes(disk.base + disk.result)), Text("")
    least = (
        f"up to the quantizing, which makes no shard from more than {byte_size(disk.window)} of base files; measuring "
        "the base needs all of it"
    )
    yield Text("with --disk-window"), Text(gigabytes(disk.window + disk.result)), Text(least, style="dim")


def _heading(name: str, remark: str) -> Row:
    return (Text.assemble((name, "bold"), "  ", (remark, "dim")),)


def _head(*names: str) -> Row:
    return tuple(Text(name, style="dim") for name in names)


def _named(name: str, value: str) -> Row:
    return Text(name, style="dim"), Text(value)


def gigabytes(count: int) -> str:
    """With two decimals from a gigabyte upwards, since sizes are compared with budgets."""
    return f"{count / 1e9:,.2f} GB" if count >= 10**9 else byte_size(count)
