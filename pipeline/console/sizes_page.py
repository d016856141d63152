"""How large a release comes out, as Markdown for a page of GitHub: the same that a terminal is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.card.escape import Markdown, code, plain
from pipeline.card.figures import bits, byte_size, grouped, percent
from pipeline.card.tables import table
from pipeline.console.messages import show_text
from pipeline.console.sizes import fitting, gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from pipeline.stages.sizes import RuleCount, Sizes

_BEYOND = {"architecture": "the architecture's own wish", "otherwise": "everything else"}


def show_sizes_page(sizes: Sizes, console: Console | None = None) -> None:
    """The result in a sentence, then tables: tensors by class, the rules of the recipe, and the memory to run it."""
    show_text("\n\n".join(_parts(sizes)), console)


def _parts(sizes: Sizes) -> Iterator[str]:
    largest = max((size for _, size in sizes.shards), default=0)
    shards = f"{len(sizes.shards)} shards of at most {byte_size(largest)}" if len(sizes.shards) > 1 else "one shard"
    verdict = "" if sizes.fits is None else f" It {'fits' if sizes.fits else '**does not fit**'} what `fit` asks for."
    yield (
        f"**{gigabytes(sizes.nbytes)} at {bits(sizes.bits_per_weight)} bits per weight**, scales and biases included: "
        f"{grouped(sizes.parameters)} parameters in {shards}.{verdict}"
    )
    if sizes.note:
        yield plain(sizes.note)
    yield "### What is stored as what"
    yield table(["Tensors", "Parameters", "Stored as", "Size", "Share"], [*_classes(sizes)], "lrlrr")
    yield "### Which line of the recipe decides it"
    yield table(["Rule", "Decided by", "Layers", "Stored as", "Modules"], [*_rules(sizes)], "llllr")
    yield "### What it takes to run it, and to make it"
    yield table(["Context", "Cache", "Together", "Fits"], [*_memory(sizes)], "rrrl")
    disk = sizes.disk
    yield (
        f"Made with {gigabytes(disk.base + disk.result)} of disk, or with {gigabytes(disk.window + disk.result)} and "
        "`--disk-window` where the base is not measured."
    )


def _classes(sizes: Sizes) -> Iterator[tuple[object, ...]]:
    for row in sizes.classes:
        share = row.nbytes / sizes.nbytes if sizes.nbytes else 0
        shown = percent(share) if share >= 0.001 else "<0.1 %"
        yield code(row.name), grouped(row.parameters), row.precision, byte_size(row.nbytes), shown


def _rules(sizes: Sizes) -> Iterator[tuple[object, ...]]:
    for rule in sizes.rules:
        yield _place(rule), code(rule.match), rule.layers or "all", rule.precision, grouped(rule.modules)
    for rule in sizes.beyond:
        yield "", Markdown(f"*{_BEYOND[rule.match]}*"), "", rule.precision, grouped(rule.modules)


def _place(rule: RuleCount) -> str:
    return f"{rule.file.removeprefix('releases/recipes/')}:{rule.line}"


def _memory(sizes: Sizes) -> Iterator[tuple[object, ...]]:
    for row in sizes.memory:
        together = gigabytes(row.nbytes) if row.nbytes is not None else f"over {gigabytes(row.weights)}"
        cache = "not known" if row.cache is None else byte_size(row.cache)
        yield grouped(row.context), cache, together, fitting(row, sizes).plain
