"""What came out: where everything is, how good it is, and what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.card.figures import bits, byte_size, nats, percent, share, with_error
from pipeline.console.terminal import (
    INDENT,
    harmless,
    one_line,
    print_hanging,
    print_line,
    print_rows,
    rows_width,
    stdout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pipeline.release.judge import Verdict

_SAMPLE = 300
_OUTCOMES = {"pass": "green", "waived": "yellow", "miss": "bold red"}


@dataclass(frozen=True)
class Summary:
    """One published release; what is empty or None is left out.

    repository: the address where a person looks at it.
    card: path of the rendered card.
    size: bytes of the published weights; base_size of those of the base.
    perplexity, base_perplexity: on the same text; divergence: mean KL divergence from the base; top1: share of tokens
    where both find the same one most likely. Each is a value and its standard error, where that is known.
    prompt, sample: what the model was asked and what it said.
    headline: one sentence of what happened, for example "demo is published".
    """

    headline: str
    repository: str = ""
    tag: str = ""
    commit: str = ""
    card: str = ""
    size: int | None = None
    base_size: int | None = None
    bits_per_weight: float | None = None
    perplexity: tuple[float, float | None] | None = None
    base_perplexity: tuple[float, float | None] | None = None
    divergence: tuple[float, float | None] | None = None
    top1: tuple[float, float | None] | None = None
    prompt: str = ""
    sample: str = ""
    verdicts: tuple[Verdict, ...] = ()


def show_summary(summary: Summary, console: Console | None = None) -> None:
    console = console or stdout()
    print_hanging(console, Text(), Text(harmless(summary.headline), style="bold green"))
    print_line(console, Text())
    rows = {
        "repository": summary.repository,
        "tag": summary.tag,
        "commit": summary.commit,
        "card": summary.card,
        "size": _size(summary),
        "perplexity": _perplexity(summary),
        "KL from base": nats(*summary.divergence) if summary.divergence else "",
        "top-1": f"{share(*summary.top1)} as the base" if summary.top1 else "",
        "asked": one_line(summary.prompt, _SAMPLE),
        "answered": one_line(summary.sample, _SAMPLE),
    }
    print_rows(console, [(Text(name, style="dim"), _cell(value)) for name, value in rows.items() if value])
    if summary.verdicts:
        print_line(console, Text())
        show_verdicts(summary.verdicts, console)


def show_verdicts(verdicts: Sequence[Verdict], console: Console | None = None) -> None:
    """Every threshold with what was asked and measured, and why where it was missed or may be."""
    console = console or stdout()
    rows = [[Text(heading, style="dim") for heading in ("", "threshold", "asked", "measured")]]
    rows += [[_outcome(v), _cell(v.threshold), _cell(v.asked), _cell(v.measured)] for v in verdicts]
    if console.is_terminal and rows_width(rows) > console.width:
        _show_verdicts_below_each_other(verdicts, console)
        return
    print_rows(console, rows)
    missed = [verdict for verdict in verdicts if not verdict.passed]
    if missed:
        print_line(console, Text())
    for verdict in missed:
        style = _OUTCOMES[verdict.outcome]
        print_hanging(console, Text(f"{' ' * INDENT}{one_line(verdict.threshold)}: ", style), _cell(verdict.why))
        if verdict.waived:
            print_hanging(console, Text(f"{' ' * 2 * INDENT}waived: ", style), _cell(verdict.waived))


def _show_verdicts_below_each_other(verdicts: Sequence[Verdict], console: Console) -> None:
    rows: list[tuple[Text, ...]] = []
    for verdict in verdicts:
        outcome = _outcome(verdict)
        rows.append((Text.assemble(" " * INDENT, outcome, "  ", (one_line(verdict.threshold), "bold")),))
        texts = {"asked": verdict.asked, "measured": verdict.measured, "why": "" if verdict.passed else verdict.why}
        texts["waived"] = verdict.waived
        margin = Text(" " * outcome.cell_len)
        rows += [(margin, Text(name, style="dim"), _cell(text)) for name, text in texts.items() if text]
    print_rows(console, rows)


def _outcome(verdict: Verdict) -> Text:
    return Text(verdict.outcome, style=_OUTCOMES[verdict.outcome])


def _cell(text: str) -> Text:
    return Text(one_line(text))


def _size(summary: Summary) -> str:
    figures = []
    if summary.size is not None:
        base = f" (base {byte_size(summary.base_size)})" if summary.base_size is not None else ""
        figures.append(f"{byte_size(summary.size)}{base}")
    if summary.bits_per_weight is not None:
        figures.append(f"{bits(summary.bits_per_weight)} bits per weight")
    return ", ".join(figures)


def _perplexity(summary: Summary) -> str:
    if summary.perplexity is None:
        return ""
    measured = with_error(*summary.perplexity)
    if summary.base_perplexity is None:
        return measured
    increase = summary.perplexity[0] / summary.base_perplexity[0] - 1
    return f"{measured}, base {with_error(*summary.base_perplexity)}: {percent(increase, sign=True)}"
