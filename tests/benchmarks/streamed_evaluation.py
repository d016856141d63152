"""Evaluating layer by layer against evaluating a resident model: the same losses, how long, and in how much memory.

    python tests/benchmarks/streamed_evaluation.py --markdown report.md --json report.json

Every run is a process of its own. Models that fit are evaluated both ways, in turns; the largest, 10 GB in bfloat16 and
20 GB as it is computed with on a CPU, also under a hard limit of 3 GB on what the process may allocate. Weights are
random, since only speed, memory and equality are measured. Needs 11 GB of disk, 22 GB of memory for the resident run of
the largest model (leave it out with --largest streamed), and half an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from against_mlx_lm import _DENSE, machine, peak_memory, write_base

LIMIT = 3_000_000_000
WIDE = {**_DENSE, "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32, "num_key_value_heads": 32}
FITTING = ("fits", {**_DENSE, "num_hidden_layers": 18})
DEPTHS = (6, 12, 24)
WINDOW, WINDOWS = 256, 4


@dataclass(frozen=True)
class Run:
    """losses: the digest of all of them."""

    seconds: float
    peak: int
    losses: str
    perplexity: float


@dataclass(frozen=True)
class Row:
    model: str
    layers: int
    input_bytes: int
    how: str
    limit: int | None
    runs: tuple[Run, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of the model that fits")
    parser.add_argument("--largest", choices=["both", "streamed"], default="both")
    parser.add_argument("--folder", type=Path, help="where to put the models, instead of the temporary folder")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=3, metavar=("HOW", "MODEL", "LIMIT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        how, model, limit = asked.run
        print(json.dumps(asdict(evaluate(Path(model), how, int(limit)))))
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        rows += both(Path(temporary) / "fits", *FITTING, rounds=asked.rounds)
        for depth in DEPTHS:
            deepest = depth == DEPTHS[-1]
            config = {**WIDE, "num_hidden_layers": depth}
            ways = ["streamed", "resident"] if deepest and asked.largest == "both" else ["streamed"]
            rows += measured(Path(temporary) / str(depth), "wide", config, ways)
    report(rows, asked)


def report(rows: list[Row], asked: argparse.Namespace) -> None:
    table = markdown(rows)
    if asked.markdown:
        asked.markdown.write_text(table)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(table)
    for model, layers in {(row.model, row.layers) for row in rows}:
        digests = {run.losses for row in rows if (row.model, row.layers) == (model, layers) for run in row.runs}
        if len(digests) > 1:
            raise SystemExit(f"{model}, {layers} layers: losses differ")


def both(folder: Path, name: str, config: dict[str, Any], *, rounds: int) -> list[Row]:
    write_base(folder, config)
    runs: dict[str, list[Run]] = {"streamed": [], "resident": []}
    for number in range(rounds):
        for how in ("streamed", "resident") if number % 2 else ("resident", "streamed"):
            runs[how].append(alone(folder, how, 0))
    return [_row(folder, name, config["num_hidden_layers"], (how, None), found) for how, found in runs.items()]


def measured(folder: Path, name: str, config: dict[str, Any], ways: list[str]) -> list[Row]:
    """Streamed under the limit, resident without."""
    write_base(folder, config)
    rows = []
    for how in ways:
        limit = LIMIT if how == "streamed" else None
        rows.append(_row(folder, name, config["num_hidden_layers"], (how, limit), [alone(folder, how, limit or 0)]))
    for path in folder.iterdir():
        path.unlink()
    return rows


def _row(folder: Path, name: str, layers: int, ways: tuple[str, int | None], runs: list[Run]) -> Row:
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    row = Row(name, layers, size, *ways, tuple(runs))
    print(row, file=sys.stderr, flush=True)
    return row


def alone(folder: Path, how: str, limit: int) -> Run:
    for path in folder.iterdir():
        with path.open("rb") as handle:
            while handle.read(1 << 24):
                pass
    command = [sys.executable, __file__, "--run", how, str(folder), str(limit)]
    return Run(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1]))


def evaluate(folder: Path, how: str, limit: int) -> Run:
    """Imports included."""
    started = time.perf_counter()
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    import numpy as np

    from pipeline.evaluate import perplexity
    from pipeline.evaluate.opening import open_weights

    weights = open_weights(folder, how)
    tokens = np.random.default_rng(0).integers(2, 30_000, (WINDOWS, WINDOW), np.int32)
    with tempfile.TemporaryDirectory(dir=folder.parent) as states:
        found = perplexity.measure(weights, tokens, Path(states), lambda _: None)
    digest = hashlib.sha256(found.losses.tobytes()).hexdigest()
    return Run(time.perf_counter() - started, peak_memory(), digest, found.perplexity)


def markdown(rows: list[Row]) -> str:
    lines = [
        f"{machine()}; {WINDOWS} windows of {WINDOW} tokens",
        "",
        "| model | layers | size | weights | limit | wall | peak memory | perplexity |",
        "|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        seconds, peak = statistics.median(run.seconds for run in row.runs), max(run.peak for run in row.runs)
        cells = [row.model, f"{row.layers}", f"{row.input_bytes / 1e9:.1f} GB", row.how]
        cells += [f"{row.limit / 1e9:.0f} GB" if row.limit else "", f"{seconds:.0f} s", f"{peak / 1e9:.2f} GB"]
        lines.append(f"| {' | '.join([*cells, f'{row.runs[0].perplexity:.2f}'])} |")
    streamed, resident = ([run.seconds for run in row.runs] for row in rows[:2])
    ratio = statistics.median(ours / theirs for ours, theirs in zip(streamed, resident, strict=True))
    return "\n".join([*lines, "", f"Streamed over resident, where both fit: {ratio:.2f} of the wall time.", ""])


if __name__ == "__main__":
    main()
