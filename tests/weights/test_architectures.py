"""Every architecture that mlx-lm tests: what streaming writes is what mlx-lm writes, tensor by tensor."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from pathlib import Path

import pytest
import upstream
from as_mlx_lm import assert_same_bits, convert, read

from pipeline.release.recipe import Precision, Unquantized
from pipeline.weights import slabs
from pipeline.weights.architecture import modules
from pipeline.weights.layout import layout
from pipeline.weights.quantizer import write_shard
from pipeline.weights.side_files import write_texts

# A second word says that `sanitize` stacks experts, so that both ways to publish them are tried.
LINES = (Path(__file__).parents[1] / "golden" / "weights" / "architectures.txt").read_text().splitlines()
ARCHITECTURES = [line.split()[0] for line in LINES]

# The parameters that cannot be computed in slabs, and why.
WHOLE = {
    "baichuan_m1": re.compile(r"lm_head\.weight"),  # divides the head by the norms of its rows, which is a reduction
    "prism_hadamard_qwen35": re.compile(""),  # looks at values, whether signs are +1 and -1, so that no graph is known
}
# mlx-lm adds its entries to the block of the source, and then refuses to load the result for it.
OTHER_CONFIG = {"prism_hadamard_qwen35"}


@pytest.fixture(scope="module")
def configs(pytestconfig):
    return upstream.collect(upstream.fetch(Path(pytestconfig.cache.mkdir("mlx-lm"))))


def test_no_architecture_is_left_out(configs):
    assert sorted(configs) == sorted(ARCHITECTURES)


def choose(path: str, shape: tuple[int, ...]):
    """Every module another precision, always the same one; groups of 32, where mlx-lm skips nothing silently."""
    if shape[-1] % 32:
        return Unquantized("bfloat16")
    choices = (Precision(3, 32), Precision(4, 32), Precision(8, 32), Unquantized("bfloat16"))
    return choices[zlib.crc32(path.encode()) % len(choices)]


@pytest.mark.parametrize("case", [*ARCHITECTURES, *(line for line in LINES if " " in line)])
def test_streaming_writes_what_mlx_lm_writes(case, configs, read_folder, tmp_path, monkeypatch):
    name, *apart = case.split()
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1 << 16)
    folder = tmp_path / "base"
    assert upstream.write(folder, upstream.shrunk(configs[name]), stacked=not apart)
    base = read_folder(folder)
    decisions = {module.path: choose(module.path, module.shape) for module in modules(base)}
    planned = layout(base, decisions, 1 << 40)
    (tmp_path / "ours").mkdir()
    for shard in planned.shards:
        write_shard(planned, shard, folder, tmp_path / "ours" / shard.name)
    write_texts(planned, tmp_path / "ours")
    convert(folder, tmp_path / "theirs", decisions, planned)
    assert_same_bits(read(tmp_path / "ours"), read(tmp_path / "theirs"))
    for text in () if name in OTHER_CONFIG else ("config.json", "model.safetensors.index.json"):
        ours, theirs = ((tmp_path / whose / text).read_text() for whose in ("ours", "theirs"))
        assert json.loads(ours) == json.loads(theirs)
    names = {piece.parameter for shard in planned.shards for piece in shard.pieces}
    assert planned.whole == {other for other in names if name in WHOLE and WHOLE[name].match(other)}
    for path in tmp_path.iterdir():  # together they are a gigabyte
        shutil.rmtree(path)
