"""How fast and how small quantizing is, against `mlx_lm.convert` on the same input with the same decisions.

    python tests/benchmarks/against_mlx_lm.py --markdown report.md --json report.json

Both run as whole processes, imports included, in turns, on input that was read once just before, and when everything
that was written is on the disk. What they write is compared, tensor by tensor. Weights are random, since only speed and
memory are measured. About ten minutes and 6 GB of disk on two cores; with --full an hour and 25 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.weights.base import BaseModel

_HEADS = {"num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 32000, "rms_norm_eps": 1e-5}
_COMMON = {**_HEADS, "torch_dtype": "bfloat16", "tie_word_embeddings": False, "rope_theta": 1e4, "eos_token_id": 1}
_DENSE = {**_COMMON, "model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632}
_MIXTURE = {
    **_COMMON,
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "moe_intermediate_size": 768,
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "head_dim": 128,
    "max_position_embeddings": 4096,
    "norm_topk_prob": True,
}
_LARGE_EXPERTS = {
    **_COMMON,
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}


@dataclass(frozen=True)
class Case:
    """A model: its config.json and how many layers it has in the quick and in the full run."""

    name: str
    config: dict[str, object]
    quick: tuple[int, ...]
    full: tuple[int, ...]


CASES = (
    Case("dense", _DENSE, (3, 8, 18), (8, 36, 100)),
    Case("mixture of experts", _MIXTURE, (1, 3, 6), (3, 11, 31)),
    Case("few large experts", _LARGE_EXPERTS, (1,), (1, 3)),
)
BITS, GROUP_SIZE = 4, 64


@dataclass(frozen=True)
class Run:
    """One process: seconds of wall and of all cores, and its largest resident memory in bytes."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Row:
    case: str
    input_bytes: int
    ours: tuple[Run, ...]
    theirs: tuple[Run, ...]

    def ratio(self, what: Callable[[Run], float]) -> float:
        """The median of the ratios of neighbours in time, which a slower machine slows alike."""
        return statistics.median(what(a) / what(b) for a, b in zip(self.ours, self.theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="inputs of 1 to 10 GB instead of 0.5 to 3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="a part of the name of the cases to run")
    parser.add_argument("--folder", type=Path, help="where to put inputs and results, instead of the temporary folder")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=3, metavar=("WHICH", "BASE", "TARGET"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        which, base, target = asked.run
        {"ours": _ours, "theirs": _theirs, "compare": _compare}[which](Path(base), Path(target))
        print(peak_memory())
        return
    rows = []
    for case in CASES:
        for layers in case.full if asked.full else case.quick:
            if not asked.only or asked.only in case.name:
                with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                    rows.append(_measure(case, layers, asked.rounds, Path(folder)))
                print(_line(rows[-1]), file=sys.stderr, flush=True)
    table = markdown(rows)
    if asked.markdown:
        asked.markdown.write_text(table)
    if asked.json:
        asked.json.write_text(
            json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=1) + "\n"
        )
    print(table)


def markdown(rows: list[Row]) -> str:
    return "\n".join(
        (
            f"{machine()}; {BITS} bit g{GROUP_SIZE}; medians of {len(rows[0].ours)} rounds",
            "",
            "| model | input | wall | mlx-lm | ratio | CPU | mlx-lm | ratio | peak memory | mlx-lm |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *map(_line, rows),
            "",
        )
    )


def _line(row: Row) -> str:
    def median(runs: tuple[Run, ...], what: Callable[[Run], float]) -> float:
        return statistics.median(map(what, runs))

    cells = [row.case, f"{row.input_bytes / 1e9:.1f} GB"]
    for what in (lambda run: run.wall, lambda run: run.cpu):
        cells += [f"{median(row.ours, what):.1f} s", f"{median(row.theirs, what):.1f} s", f"{row.ratio(what):.2f}"]
    cells += [f"{max(run.peak for run in runs) / 1e6:,.0f} MB" for runs in (row.ours, row.theirs)]
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _measure(case: Case, layers: int, rounds: int, folder: Path) -> Row:
    base = folder / "base"
    write_base(base, {**case.config, "num_hidden_layers": layers})
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    runs: dict[str, list[Run]] = {"ours": [], "theirs": []}
    for number in range(rounds):
        for which in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            shutil.rmtree(folder / which, ignore_errors=True)
            runs[which].append(timed(__file__, which, base, folder / which))
        if not number:
            timed(__file__, "compare", folder / "ours", folder / "theirs")
    return Row(case.name, size, tuple(runs["ours"]), tuple(runs["theirs"]))


def timed(script: str, which: str, base: Path, target: Path) -> Run:
    """A process of its own, which starts with `base` in the page cache and nothing waiting to be written."""
    for path in base.iterdir():
        with path.open("rb") as handle:
            while handle.read(1 << 24):
                pass
    os.sync()
    started = time.perf_counter()
    command = [sys.executable, script, "--run", which, str(base), str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{which} failed on {base}")
    return Run(wall, used.ru_utime + used.ru_stime, int(said.split()[-1]))


def peak_memory() -> int:
    """The largest resident set of this process so far, in bytes.

    Not Linux's ru_maxrss, which begins with what the parent held when it forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ours(base: Path, target: Path) -> None:
    """What the stages do to a folder that is there already."""
    from pipeline.release.recipe import Precision
    from pipeline.weights.architecture import modules
    from pipeline.weights.layout import layout
    from pipeline.weights.quantizer import write_shard
    from pipeline.weights.side_files import write_texts

    model = read_folder(base)
    decisions = {module.path: module.architecture or Precision(BITS, GROUP_SIZE) for module in modules(model)}
    planned = layout(model, decisions, 5_000_000_000)
    target.mkdir()
    for shard in planned.shards:
        write_shard(planned, shard, base, target / shard.name)
    write_texts(planned, target)


def _theirs(base: Path, target: Path) -> None:
    """mlx-lm asks the architecture's own predicate when none is given, as `_ours` does."""
    import mlx_lm

    mlx_lm.convert(str(base), str(target), quantize=True, q_bits=BITS, q_group_size=GROUP_SIZE)


def read_folder(folder: Path) -> BaseModel:
    from pipeline.manifest import File, Manifest
    from pipeline.weights.base import read_base

    def part(path: str, start: int, length: int) -> bytes:
        with (folder / path).open("rb") as handle:
            return os.pread(handle.fileno(), length, start)

    # Digests are the downloads' business, so they are not taken here.
    files = Manifest(tuple(File(path.name, path.stat().st_size) for path in sorted(folder.iterdir())))
    return read_base("benchmark/model", "0" * 40, files, part)


def _compare(ours: Path, theirs: Path) -> None:
    import mlx.core as mx

    found, expected = (
        {name: array for file in folder.glob("*.safetensors") for name, array in mx.load(str(file)).items()}
        for folder in (ours, theirs)
    )
    if found.keys() != expected.keys():
        raise SystemExit(f"other tensors than mlx-lm's: {sorted(found.keys() ^ expected.keys())[:5]}")
    for name in list(expected):
        if not mx.array_equal(found.pop(name), expected.pop(name)):
            raise SystemExit(f"{name} is not what mlx-lm writes")


def write_base(folder: Path, config: dict[str, object]) -> None:
    """A model folder with random weights, in files of about 2 GB."""
    import numpy as np
    from tokenizers import Tokenizer, models

    from pipeline.weights.shards import arrange, divide, nbytes

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1}, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tensors = [(name, "BF16", shape) for name, shape in _shapes(config)]
    values = np.random.default_rng(0).normal(0, 0.02, 1 << 22).astype(np.float32)
    block = (values.view(np.uint32) >> 16).astype(np.uint16)
    parts = divide([nbytes(dtype, shape) for _, dtype, shape in tensors], 2_000_000_000)
    for number, part in enumerate(parts, 1):
        name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        header, placed = arrange(name, tensors[part.start : part.stop])
        with (folder / name).open("wb") as out:
            out.write(header)
            for index, tensor in enumerate(placed):
                _fill(out.write, np.roll(block, index * 4099), tensor.nbytes)


def _fill(write: Callable[[memoryview], object], block: NDArray[np.uint16], count: int) -> None:
    content = memoryview(block).cast("B")
    while count > 0:
        write(content[:count])
        count -= len(content)


def _shapes(config: dict[str, object]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of a checkpoint as its authors name them: one for every expert."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    heads, pairs = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim", hidden // heads)
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for layer in (f"model.layers.{index}" for index in range(config["num_hidden_layers"])):
        yield f"{layer}.self_attn.q_proj.weight", (heads * size, hidden)
        yield f"{layer}.self_attn.k_proj.weight", (pairs * size, hidden)
        yield f"{layer}.self_attn.v_proj.weight", (pairs * size, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, heads * size)
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        match config["model_type"]:
            case "llama":
                yield from _projections(f"{layer}.mlp", ("gate_proj", "down_proj", "up_proj"), hidden, wide)
            case "qwen3_moe":
                yield f"{layer}.self_attn.q_norm.weight", (size,)
                yield f"{layer}.self_attn.k_norm.weight", (size,)
                yield f"{layer}.mlp.gate.weight", (config["num_experts"], hidden)
                for expert in range(config["num_experts"]):
                    names = ("gate_proj", "down_proj", "up_proj")
                    yield from _projections(
                        f"{layer}.mlp.experts.{expert}", names, hidden, config["moe_intermediate_size"]
                    )
            case "mixtral":
                yield f"{layer}.block_sparse_moe.gate.weight", (config["num_local_experts"], hidden)
                for expert in range(config["num_local_experts"]):
                    yield from _projections(
                        f"{layer}.block_sparse_moe.experts.{expert}", ("w1", "w2", "w3"), hidden, wide
                    )
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (config["vocab_size"], hidden)


def _projections(
    path: str, names: tuple[str, str, str], hidden: int, wide: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Gate, down and up."""
    for name, shape in zip(names, ((wide, hidden), (hidden, wide), (wide, hidden)), strict=True):
        yield f"{path}.{name}.weight", shape


if __name__ == "__main__":
    main()
