"""One real-size layer of Kimi K2.5's INT4 experts to the 2.5-bit recipe: time, memory, and the same for all layers.

    python tests/benchmarks/kimi_layer.py --markdown kimi.md --json kimi.json

The shapes, names and packing are those of releases/v2.5/base.json: the dense layer 0, layer 1 with 384 experts of
2048 x 7168, and embeddings cut to a few words. The codes are random, since only speed and memory are measured. Needs
17 GB of disk and some minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from against_mlx_lm import Run, machine, peak_memory, read_folder, timed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.release.recipe import Decision, Method
    from pipeline.weights.base import BaseModel
    from pipeline.weights.families import BaseTensor

ROOT = Path(__file__).parents[2]
RECIPE = "kimi-k2.5-2.5bit"
MIXTURES = 60  # layers with experts in the whole model
_VOCABULARY = 1024
_HELD = re.compile(r"language_model\.(lm_head|model\.(embed_tokens|norm|layers\.[01])\.)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", type=int, default=384, help="fewer, to try it out")
    parser.add_argument("--search", action="store_true", help="measure `method: search` as well")
    parser.add_argument("--folder", type=Path, help="where to put input and result, instead of the temporary folder")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=3, metavar=("METHOD", "BASE", "TARGET"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        method, base, target = asked.run
        quantize(Path(base), Path(target), method)
        print(peak_memory())
        return
    runs: dict[str, Run] = {}
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        base = Path(temporary) / "base"
        weights = write_base(base, asked.experts)
        size = sum(path.stat().st_size for path in base.iterdir())
        for method in ("round", "search") if asked.search else ("round",):
            runs[method] = timed(__file__, method, base, Path(temporary) / "model")
            print(method, runs[method], file=sys.stderr, flush=True)
    table = markdown(weights, size, runs)
    if asked.markdown:
        asked.markdown.write_text(table)
    if asked.json:
        found = {method: asdict(run) for method, run in runs.items()}
        report = {"machine": machine(), "parameters": weights, "input_bytes": size, "runs": found}
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    print(table)


def markdown(weights: int, size: int, runs: Mapping[str, Run]) -> str:
    lines = [
        f"{machine()}; {weights / 1e9:.1f} billion weights in {size / 1e9:.1f} GB",
        "",
        f"| method | wall | CPU | peak memory | parameters a second | {MIXTURES} such layers |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for method, run in runs.items():
        cells = [method, f"{run.wall:.0f} s", f"{run.cpu:.0f} s", f"{run.peak / 1e6:,.0f} MB"]
        cells += [f"{weights / run.wall / 1e6:,.0f} million", f"{run.wall * MIXTURES / 3600:.1f} h"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def quantize(base: Path, target: Path, method: Method) -> None:
    from pipeline.release.recipe import Precision
    from pipeline.weights.layout import layout
    from pipeline.weights.quantizer import write_shard

    model = read_folder(base)
    decisions = {
        path: replace(decision, method=method) if isinstance(decision, Precision) else decision
        for path, decision in decided(model).items()
    }
    planned = layout(model, decisions, 5_000_000_000)
    target.mkdir(exist_ok=True)
    for shard in planned.shards:
        write_shard(planned, shard, base, target / shard.name)


def decided(model: BaseModel) -> dict[str, Decision]:
    """The recipe's own rules, without its errors about the layers that are not there."""
    from pipeline.release.load import load_recipe
    from pipeline.weights.architecture import modules

    rules = load_recipe(ROOT, RECIPE).rules
    return {
        module.path: next(rule.decision for rule in rules if rule.matches(module.path)) for module in modules(model)
    }


def write_base(folder: Path, experts: int) -> int:
    """Input files of about 2 GB; returns the number of weights in it."""
    import numpy as np

    from pipeline.weights.base import BaseModel
    from pipeline.weights.gguf import to_bfloat16
    from pipeline.weights.shards import arrange, divide, nbytes

    whole = BaseModel.from_json((ROOT / "releases" / "v2.5" / "base.json").read_text())
    text = {
        **whole.config["text_config"],
        "num_hidden_layers": 2,
        "n_routed_experts": experts,
        "vocab_size": _VOCABULARY,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**whole.config, "text_config": text}))
    tensors = [(name, kind.dtype, _shape(name, kind, experts)) for name, kind in _held(whole.tensors, experts).items()]
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, 1 << 24, np.uint8)
    scales = to_bfloat16(random.uniform(0.002, 0.01, 1 << 20).astype(np.float32)).view(np.uint8)
    wholes = to_bfloat16(random.normal(0, 0.02, 1 << 22).astype(np.float32)).view(np.uint8)
    shapes = {name: shape for name, _, shape in tensors}
    parts = divide([nbytes(dtype, shape) for _, dtype, shape in tensors], 2_000_000_000)
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        header, placed = arrange(file, tensors[part.start : part.stop])
        with (folder / file).open("wb") as out:
            out.write(header)
            for tensor in placed:
                if tensor.name.endswith("weight_shape"):
                    rows, words = shapes[tensor.name.replace("_shape", "_packed")]
                    out.write(np.array([rows, words * 8], np.int32).tobytes())
                elif tensor.dtype == "F32":
                    out.write(bytes(tensor.nbytes))
                else:
                    content = codes if tensor.dtype == "I32" else scales if "scale" in tensor.name else wholes
                    out.write(np.resize(content, tensor.nbytes).data)
    return sum(
        rows * columns * (8 if name.endswith("packed") else 1)
        for name, (rows, columns) in ((name, shape) for name, shape in shapes.items() if len(shape) == 2)
        if not name.endswith("scale")
    )


def _held(tensors: Mapping[str, BaseTensor], experts: int) -> dict[str, BaseTensor]:
    absent = {f".experts.{index}." for index in range(experts, 384)}
    return {
        name: kind
        for name, kind in tensors.items()
        if _HELD.match(name) and not ((found := re.search(r"\.experts\.\d+\.", name)) and found[0] in absent)
    }


def _shape(name: str, kind: BaseTensor, experts: int) -> tuple[int, ...]:
    """Cut where the vocabulary or the number of experts is."""
    if re.search(r"lm_head|embed_tokens", name):
        return (_VOCABULARY, *kind.shape[1:])
    return (experts, *kind.shape[1:]) if ".mlp.gate." in name else kind.shape


if __name__ == "__main__":
    main()
