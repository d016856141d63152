"""How the released model stands beside its base and its siblings, as far as `pipeline` measured all of them alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline.card import figures
from pipeline.card.escape import Markdown
from pipeline.card.models import BASE, OWN
from pipeline.release.change import Change, between, from_base
from pipeline.release.comparable import why_not
from pipeline.release.metrics import KL, TOP1, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.card.models import Models
    from pipeline.evidence import Evidence, Measurement

    Cell = Callable[[str], str]

N = TypeVar("N", int, float)
_NOBODY = Markdown("")


@dataclass(frozen=True)
class Standing:
    """apart: siblings whose figures were taken in another way, and which.

    best: whether a bold perplexity is surely the lowest of those that are quantized; doubt: what the lowest is within
    error of; unknown: what it cannot be held against, since an error is not known.
    """

    headings: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    apart: tuple[tuple[Markdown, str], ...] = ()
    best: bool = False
    doubt: Markdown = _NOBODY
    unknown: Markdown = _NOBODY

    @property
    def align(self) -> str:
        return "l" + "r" * (len(self.headings) - 1)


def read(models: Models, kept: Mapping[str, Evidence]) -> Standing:
    """kept: the evidence of each model's own release by subject, to know how it differs from its base."""
    found: dict[str, Measurement] = {}
    for one in models.evidence.measurements:
        if one.measure == "perplexity" and not one.imported:
            found.setdefault(one.subject, one)
    own = found.get(OWN)
    if own is None:
        return Standing()
    whys = {subject: why_not(own, one) if one is not own else "" for subject, one in found.items()}
    apart = tuple(
        (models.model(subject).name, whys[subject]) for subject in models.known if whys.get(subject) and subject != BASE
    )
    alike = {subject: found[subject] for subject in models.known if subject in found and not whys[subject]}
    quantized = [one for subject, one in alike.items() if subject != BASE]
    lowest, doubtful, unknown = _lowest(quantized)
    best = lowest is not None and not doubtful and not unknown
    columns: dict[str, Cell] = {
        "Size": lambda subject: _known(models.model(subject).bytes, figures.byte_size),
        "Bits per weight": lambda subject: _known(models.model(subject).bits_per_weight, figures.bits),
        "Perplexity": lambda subject: _perplexity(alike[subject], bold=best and alike[subject] is lowest),
        "Against the base": lambda subject: _against_base(kept.get(subject)) if subject != BASE else "",
        "KL divergence": lambda subject: _divergence(models, subject, "kl_mean"),
        "Same top token": lambda subject: _divergence(models, subject, "top1"),
    }
    order = sorted(alike, key=lambda subject: (subject != BASE, models.order(subject)))
    cells = {heading: [column(subject) for subject in order] for heading, column in columns.items()}
    shown = {heading: column for heading, column in cells.items() if any(column)}
    return Standing(
        headings=("Model", *shown),
        rows=tuple(
            (models.model(subject).name, *(column[index] for column in shown.values()))
            for index, subject in enumerate(order)
        ),
        apart=apart,
        best=best,
        doubt=_names(models, doubtful),
        unknown=_names(models, unknown),
    )


def _names(models: Models, subjects: Sequence[str]) -> Markdown:
    return Markdown(", ".join(models.model(subject).name for subject in subjects))


def _lowest(ones: Sequence[Measurement]) -> tuple[Measurement | None, list[str], list[str]]:
    """The one with the lowest perplexity of several, which it is within error of, and where that is not known."""
    if len(ones) < 2:
        return None, [], []
    lowest = min(ones, key=lambda one: number(one.values, "perplexity") or float("inf"))
    changes = {one.subject: between(one, lowest) for one in ones if one is not lowest}
    words = {subject: change.word if isinstance(change, Change) else None for subject, change in changes.items()}
    doubtful = [subject for subject, word in words.items() if word in {"within error", "same"}]
    return lowest, doubtful, [subject for subject, word in words.items() if word is None]


def _known(value: N | None, words: Callable[[N], str]) -> str:
    return "" if value is None else words(value)


def _perplexity(one: Measurement, *, bold: bool) -> str:
    value, error = number(one.values, "perplexity"), number(one.values, "standard_error")
    text = figures.with_error(float("nan") if value is None else value, error)
    text += " (reported)" if one.source == "reported" else ""
    return Markdown(f"**{text}**") if bold else text


def _against_base(evidence: Evidence | None) -> str:
    change = from_base(evidence) if evidence else None
    return against(change) if isinstance(change, Change) else ""


def against(change: Change) -> str:
    """`+0.53 (+4.2 %), within error`: as many digits as the error of the difference carries."""
    if change.points is None:
        return ""
    error = change.points_error
    places = figures.decimals(error) if error else 3
    share = figures.relative(change.share, change.error)
    word = f", {change.word}" if change.word in {"within error", "better", "worse"} else ""
    return f"{figures.signed(change.points, places)} ({share}){word}"


def _divergence(models: Models, subject: str, key: str) -> str:
    own, found = (models.evidence.find("divergence", who) for who in (OWN, subject))
    if own is None or found is None or why_not(own, found):
        return ""
    metric = KL.get(key, TOP1)
    value, error = number(found.values, key), number(found.values, metric.error)
    if value is None:
        return ""
    return figures.share(value, error) if key == "top1" else figures.nats(value, error)
