"""The cards of this repository are what their inputs render, and say all that the published card of Kimi K2.5 says."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.card import assets
from pipeline.card.front_matter import parse
from pipeline.card.plots import draw
from pipeline.release.load import load_release
from pipeline.stages import card_inputs
from pipeline.stages.job import Folders
from pipeline.stages.render import card_and_plots

ROOT = Path(__file__).parents[2]
FOLDERS = Folders(ROOT, ROOT / "nowhere")

# https://huggingface.co/spicyneuron/Kimi-K2.5-MLX-2.5bit, column by column.
READING = {
    "1,000": {"GGUF": "148.82", "MLX 3 bit": "216.976", "MLX 2.8 bit v1": "224.878", "MLX 2.8 bit v2": "224.094"},
    "5,000": {"GGUF": "130.90", "MLX 3 bit": "230.227", "MLX 2.8 bit v1": "235.595", "MLX 2.8 bit v2": "231.966"},
    "10,000": {"GGUF": "113.32", "MLX 3 bit": "219.792", "MLX 2.8 bit v1": "222.464", "MLX 2.8 bit v2": "218.455"},
    "20,000": {"GGUF": "89.72", "MLX 3 bit": "186.549", "MLX 2.8 bit v1": "187.915", "MLX 2.8 bit v2": "186.169"},
}
GENERATING = {
    "500": {"GGUF": "23.38", "MLX 3 bit": "25.781", "MLX 2.8 bit v1": "27.443", "MLX 2.8 bit v2": "26.586"},
    "1,000": {"GGUF": "22.37", "MLX 3 bit": "25.210", "MLX 2.8 bit v1": "26.491", "MLX 2.8 bit v2": "24.285"},
    "2,000": {"GGUF": "21.89", "MLX 3 bit": "23.944", "MLX 2.8 bit v1": "24.573", "MLX 2.8 bit v2": "22.603"},
    "5,000": {"GGUF": "20.52", "MLX 3 bit": "20.758", "MLX 2.8 bit v1": "21.030", "MLX 2.8 bit v2": "20.499"},
}
OWN = [
    "**226.368**",
    "**237.426**",
    "**223.846**",
    "**188.502**",
    "**27.571**",
    "**26.853**",
    "**24.689**",
    "**21.192**",
]
PERPLEXITY = {
    "MLX 3 bit": ("3.798 ± 0.021", ""),
    "MLX 2.8 bit v1": ("3.768 ± 0.021", "-0.030 (-0.79 %), within error"),
    "MLX 2.8 bit v2": ("**3.702 ± 0.020**", "-0.096 (-2.53 %), better"),
    "**MLX 2.5 bit** (this model)": ("3.777 ± 0.020", "-0.021 (-0.55 %), within error"),
}


@pytest.fixture(scope="module", autouse=True)
def planned_once():
    """Cards of one base name each other as siblings, and planning one takes seconds."""
    planned: dict[str, object] = {}
    real = card_inputs.open_planned

    @functools.wraps(real)
    def once(asked, folders):
        if asked.name not in planned:
            planned[asked.name] = real(asked, folders)
        return planned[asked.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card_inputs, "open_planned", once)
        yield


def table(card, first):
    """The cells of the table whose first heading is `first`, without links."""
    body = card.split(f"| {first} ")[1].split("\n\n")[0]
    lines = [line for line in f"| {first} {body}".splitlines() if ":-" not in line]
    cells = [[cell.strip().replace("\N{MINUS SIGN}", "-") for cell in line.strip("|").split("|")] for line in lines]
    return [[cell.partition("](")[0].removeprefix("[") for cell in row] for row in cells]


@pytest.mark.parametrize("path", sorted(ROOT.glob("releases/*/README.md")), ids=lambda path: path.parent.name)
def test_a_committed_card_is_what_its_inputs_render(path):
    card, plots = card_and_plots(load_release(ROOT, path.parent.name), FOLDERS)
    assert card == path.read_text("utf-8")
    assert assets.wrong(path.parent, plots) == {}


def test_the_plots_that_are_committed_look_as_they_would_now():
    """A change of how charts are drawn raises `STYLE`, or nothing would tell that they have to be drawn again.

    Other versions of FreeType and matplotlib may place letters and edges a little otherwise, which reducing hides.
    """
    found = card_and_plots(load_release(ROOT, "v2.5"), FOLDERS)[1]
    assert [Path(plot.path).stem for plot in found] == ["quality_by_size", "speed", "bytes_by_class"]
    for plot in found:
        one, other = (reduced(content) for content in ((ROOT / "releases/v2.5" / plot.path).read_bytes(), draw(plot)))
        assert one.shape == other.shape, "raise STYLE and run `pipeline card` for every release"
        assert np.abs(one - other).max() < 16, "raise STYLE and run `pipeline card` for every release"


def reduced(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB").reduce(10)).astype(float)


def test_the_card_of_kimi_carries_every_speed_of_the_published_one_to_the_last_digit():
    heading, *rows = table((ROOT / "releases/v2.5/README.md").read_text("utf-8"), "Tokens per second")
    assert heading[1] == "MLX 2.5 bit (this model)"
    assert [row[1] for row in rows] == OWN
    found = {row[0]: dict(zip(heading[2:], row[2:], strict=True)) for row in rows}
    assert found == {
        **{f"reading {tokens} tokens": speeds for tokens, speeds in READING.items()},
        **{f"generating {tokens} tokens": speeds for tokens, speeds in GENERATING.items()},
    }


def test_the_card_of_kimi_carries_every_perplexity_and_its_differences_are_computed():
    card = (ROOT / "releases/v2.5/README.md").read_text("utf-8")
    heading, *rows = table(card.split("## Perplexity by other programs")[1], "Model")
    assert heading == ["Model", "Size", "Perplexity", "Against MLX 3 bit"]
    assert {row[0]: (row[2], row[3]) for row in rows} == PERPLEXITY
    assert [row[1] for row in rows] == ["350 GB", "449 GB", "", "377 GB"]


def test_a_stranger_learns_whether_it_runs_how_good_it_is_and_how_to_make_it_again():
    fields, body = parse((ROOT / "releases/v2.5/README.md").read_text("utf-8"))
    verdict = body.split("\n\n")[2]
    assert "350 GB at 2.73 bits per weight; runs on a Mac with 512 GB of memory, up to 262,144 tokens" in verdict
    assert "worse than MLX 2.8 bit v2's 3.702 ± 0.020 at 377 GB" in verdict
    assert "planned and not made yet" in body
    assert "pipeline release v2.5 --until render" in body
    assert "layers: 1-11,15,19,23,27,31,35,39,43,50-60" in body
    assert "`mlx_lm.perplexity --sequence-length 1000 --seed 222`" in body
    assert "`llama-bench -fa 1 --batch-size 2048 --ubatch-size 2048 --repetitions 5`" in body
    assert fields["base_model"] == "moonshotai/Kimi-K2.5"
    assert fields["base_model_relation"] == "quantized"
