"""Plain rounding against `method: search` on a trained model: error of the weights, perplexity, time.

    python tests/benchmarks/search_quality.py --markdown table.md --json table.json

Quantizes the demo's base model whole at every number of bits and group size, both ways. Needs 2 GB of memory, 1 GB of
disk and about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from against_mlx_lm import read_folder

if TYPE_CHECKING:
    from pipeline.release.recipe import Precision


@dataclass(frozen=True)
class Row:
    """error: of all quantized weights together, relative to them; seconds: of quantizing, with two threads."""

    bits: int
    group_size: int
    method: str
    error: float
    perplexity: float
    standard_error: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="a model folder; without it the demo's base is made")
    parser.add_argument("--text", type=Path, help="a text file; without it the demo's text is made")
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--group-sizes", type=int, nargs="+", default=[64, 32])
    parser.add_argument("--windows", type=int, default=16, help="of 512 tokens")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()

    from pipeline.release.recipe import Precision

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base, text = _inputs(asked, folder)
        rows = [Row(16, 0, "base", 0.0, *_perplexity(base, text, asked.windows), 0.0)]
        for bits in asked.bits:
            for group_size in asked.group_sizes:
                for method in ("round", "search"):
                    precision = Precision(bits, group_size, method=method)
                    rows.append(_row(base, text, asked.windows, folder / "model", precision))
                    print(rows[-1], file=sys.stderr, flush=True)
    table = markdown(rows)
    if asked.markdown:
        asked.markdown.write_text(table)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(table)


def markdown(rows: list[Row]) -> str:
    lines = [
        f"Base: perplexity {rows[0].perplexity:.2f}",
        "",
        "| bits | group size | error, round | error, search | ratio | perplexity, round | perplexity, search | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for plain, found in zip(rows[1::2], rows[2::2], strict=True):
        cells = [f"{plain.bits}", f"{plain.group_size}"]
        cells += [f"{plain.error:.2%}", f"{found.error:.2%}", f"{found.error / plain.error:.3f}"]
        cells += [_figure(plain.perplexity), _figure(found.perplexity), f"{found.perplexity / plain.perplexity:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _figure(perplexity: float) -> str:
    return f"{perplexity:.2f}" if perplexity < 1000 else f"{perplexity:,.0f}"


def _inputs(asked: argparse.Namespace, folder: Path) -> tuple[Path, str]:
    from pipeline.rehearsal.catalogue import SMOLLM2, WIKIPEDIA_LEADS, build

    base, text = asked.base, asked.text
    if not base:
        base = folder / "base"
        build(SMOLLM2, base)
    if not text:
        build(WIKIPEDIA_LEADS, folder / "text")
        text = folder / "text" / "evaluation.txt"
    return base, text.read_text()


def _row(base: Path, text: str, windows: int, target: Path, precision: Precision) -> Row:
    seconds, _ = quantize(base, target, precision)
    error, quality = _error(base, target, precision), _perplexity(target, text, windows)
    return Row(precision.bits, precision.group_size, precision.method, error, *quality, seconds)


def quantize(base: Path, target: Path, precision: Precision) -> tuple[float, float]:
    """Every module of the model, and the files around the weights: seconds that the weights took, bits per weight."""
    from pipeline.weights.architecture import modules
    from pipeline.weights.layout import layout
    from pipeline.weights.quantizer import write_shard
    from pipeline.weights.side_files import side_files, write_texts

    model = read_folder(base)
    planned = layout(model, {module.path: precision for module in modules(model)}, 1 << 40)
    target.mkdir(exist_ok=True)
    started = time.perf_counter()
    for shard in planned.shards:
        write_shard(planned, shard, base, target / shard.name)
    seconds = time.perf_counter() - started
    for file in side_files(model.files):
        (target / file.path).write_bytes((base / file.path).read_bytes())
    write_texts(planned, target)
    return seconds, planned.bits_per_weight


def _error(base: Path, target: Path, precision: Precision) -> float:
    """By names: in this architecture every quantized parameter is a tensor of the base."""
    import mlx.core as mx

    found = {name: array for file in target.glob("*.safetensors") for name, array in mx.load(str(file)).items()}
    lost = total = 0.0
    for file in sorted(base.glob("*.safetensors")):
        for name, weight in mx.load(str(file)).items():
            module = name.removesuffix(".weight")
            if f"{module}.scales" in found:
                parts = (found[f"{module}.{part}"] for part in ("weight", "scales", "biases"))
                back = mx.dequantize(*parts, precision.group_size, precision.bits).astype(mx.float32)
                lost += mx.square(back - weight.astype(mx.float32)).sum().item()
                total += mx.square(weight.astype(mx.float32)).sum().item()
    return math.sqrt(lost / total)


def _perplexity(folder: Path, text: str, count: int) -> tuple[float, float]:
    from pipeline.evaluate import forward, perplexity

    loaded = forward.load(folder)
    tokens = perplexity.windows(loaded.tokenizer, text, 512, count)
    with tempfile.TemporaryDirectory() as states:
        measured = perplexity.measure(loaded, tokens, Path(states), lambda _count: None)
    return measured.perplexity, measured.standard_error


if __name__ == "__main__":
    main()
