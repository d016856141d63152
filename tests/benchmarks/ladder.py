"""What every number of bits costs a trained model: perplexity, distance from the base, and whether they fall in order.

    python tests/benchmarks/ladder.py --markdown ladder.md --json ladder.json

Quantizes the demo's base model, and the mixture of four experts that is grown from it, whole and in groups of 64, at 8,
6, 5, 4, 3 and 2 bits. Perplexity is compared with that of mlx_lm's own `eval_ppl` in float32 on the first tokens. Needs
3 GB of memory, 2 GB of disk and, on two cores, half an hour.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from search_quality import quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.evaluate.quality import Examined, Text

BITS = (8, 6, 5, 4, 3, 2)
GROUP_SIZE = 64
AGREES = 1e-4
CHECKED = 48  # tokens that mlx_lm measures too, at a few seconds a hundred
MODELS = ("dense", "mixture of experts")


@dataclass(frozen=True)
class Row:
    """theirs: mlx_lm's perplexity over ours on the first tokens, less one."""

    model: str
    bits: int
    bits_per_weight: float
    perplexity: float
    standard_error: float
    loss_difference: float
    loss_difference_error: float
    kl_mean: float
    kl_p99: float
    top1: float
    theirs: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=16, help="of 512 tokens")
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, base, text in _inputs(Path(temporary), asked.only):
            for row in measure(name, base, Path(temporary), text, windows=asked.windows):
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    table = markdown(rows)
    if asked.markdown:
        asked.markdown.write_text(table)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(table)
    if not all(falls(rows, name) for name in {row.model for row in rows}):
        raise SystemExit("not in order")
    if any(abs(row.theirs) > AGREES for row in rows):
        raise SystemExit("mlx_lm has another perplexity")


def _inputs(folder: Path, only: str | None) -> Iterator[tuple[str, Path, str]]:
    from pipeline.rehearsal.catalogue import SMOLLM2, WIKIPEDIA_LEADS, build
    from pipeline.rehearsal.mixtral import build_mixtral

    build(WIKIPEDIA_LEADS, folder / "text")
    text = (folder / "text" / "evaluation.txt").read_text()

    def mixture(at: Path) -> None:
        at.mkdir()
        build_mixtral(at)

    makers: dict[str, Callable[[Path], object]] = {MODELS[0]: lambda at: build(SMOLLM2, at), MODELS[1]: mixture}
    for name, make in makers.items():
        if only in {None, name}:
            base = folder / name.replace(" ", "-")
            make(base)
            yield name, base, text


def measure(name: str, base: Path, folder: Path, text: str, *, windows: int, window: int = 512) -> Iterator[Row]:
    """The base first, as 16 bits, which is no way from itself."""
    from pipeline.evaluate.quality import Examined, Text
    from pipeline.release.recipe import Precision

    asked = Text(text, window, windows)
    original = Examined(base, name, folder / "states")
    yield _row(name, (16, 16.0), original, original, asked)
    for bits in BITS:
        target = folder / f"{bits} bit"
        _, bits_per_weight = quantize(base, target, Precision(bits, GROUP_SIZE))
        made = replace(original, folder=target, weights=f"{name} at {bits} bit")
        yield _row(name, (bits, bits_per_weight), original, made, asked)


def _row(name: str, bits: tuple[int, float], base: Examined, made: Examined, text: Text) -> Row:
    from pipeline.evaluate.divergence import summary
    from pipeline.evaluate.perplexity import summary as perplexity
    from pipeline.evaluate.quality import compare, compute_states

    for each in (base, made):
        compute_states(each, text, "resident", lambda _: None)
    found = compare(base, made, text, "resident", lambda _: None)
    own, apart = perplexity(found.tokenwise.quantized), summary(found.tokenwise)
    figures = (apart[key] for key in ("loss_difference", "loss_difference_error", "kl_mean", "kl_p99", "top1"))
    theirs = _theirs(made.folder, text) / _ours(made, text) - 1
    return Row(name, *bits, own.perplexity, own.standard_error, *figures, theirs)


def _ours(model: Examined, text: Text) -> float:
    from pipeline.evaluate import forward, perplexity

    loaded = forward.load(model.folder)
    tokens = perplexity.windows(loaded.tokenizer, text.content, CHECKED, 1)
    with tempfile.TemporaryDirectory() as states:
        return perplexity.measure(loaded, tokens, Path(states), lambda _: None).perplexity


def _theirs(folder: Path, text: Text) -> float:
    import contextlib
    import io

    import mlx.core as mx
    from mlx_lm.perplexity import eval_ppl
    from mlx_lm.utils import load

    model, tokenizer = load(str(folder))
    model.set_dtype(mx.float32)
    with contextlib.redirect_stdout(io.StringIO()):
        value, _ = eval_ppl(model, mx.array([tokenizer.encode(text.content)[:CHECKED]]))
    return value


def falls(rows: list[Row], name: str) -> bool:
    """Whether fewer bits are never better, by any of the figures."""
    own = [row for row in rows if row.model == name]
    return all(
        before.perplexity < after.perplexity and before.kl_mean < after.kl_mean and before.top1 > after.top1
        for before, after in itertools.pairwise(own[1:])
    )


def markdown(rows: list[Row]) -> str:
    lines = [
        "| model | bits | bpw | perplexity | loss over the base's | KL mean | KL p99 | top-1 | mlx_lm's perplexity |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        figure = (
            f"{row.perplexity:,.2f} ± {row.standard_error:,.2f}" if row.perplexity < 1e4 else f"{row.perplexity:.2e}"
        )
        cells = [row.model, f"{row.bits}", f"{row.bits_per_weight:.2f}", figure]
        cells += [f"{row.loss_difference:+.4f} ± {row.loss_difference_error:.4f}", f"{row.kl_mean:.5f}"]
        cells += [f"{row.kl_p99:.4f}", f"{row.top1:.2%}", f"{row.theirs:+.0e}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
