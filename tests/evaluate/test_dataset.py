"""Sampling as `mlx_lm.perplexity` does it.

The package `datasets` is no dependency of the tests, for with pyarrow and pandas it takes 270 MB. A stand-in answers in
its place, and all else is mlx-lm's own. Where the package is installed, it is asked too.
"""

# ruff: noqa: NPY002 - mlx-lm takes its order from the old generator

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import perplexity as theirs
from mlx_lm.utils import load_model

from pipeline.errors import UsageError
from pipeline.evaluate import dataset, forward
from pipeline.evaluate.dataset import Sample
from pipeline.evaluate.measurement import quality_measurements
from pipeline.evaluate.perplexity import measure
from pipeline.evaluate.quality import Examined, compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [{"text": f"In the year {year} nothing happened that anybody wrote down. " * 3} for year in range(1200, 1240)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "years"
    made.mkdir()
    (made / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the stand-in was asked."""
    log: list[Any] = []
    module = ModuleType("datasets")

    def load_dataset(path: str, *, split: str, **options: Any) -> list[dict[str, str]]:
        log.append((path, split, options))
        if path == "nobody/nothing":
            raise FileNotFoundError(f"{path} is nowhere")
        return ROWS if split == "train" else ROWS[:1]

    module.load_dataset = load_dataset
    module.__spec__ = ModuleSpec("datasets", None)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return log


def _of_mlx_lm(tokenizer: Any, path: str, seed: int) -> mx.array:
    """As `mlx_lm.perplexity --seed` begins."""
    np.random.seed(seed)
    return theirs.load_data(tokenizer, path, num_samples=4, sequence_length=48)


def test_the_figure_is_that_of_mlx_lm_perplexity(
    random_model: Callable[..., Path], asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = random_model()
    loaded = forward.load(folder)
    data = _of_mlx_lm(loaded.tokenizer, "some/years", 222)
    stock, _ = load_model(folder)
    stock.set_dtype(mx.float32)
    expected, error = theirs.eval_ppl(stock, data)
    capsys.readouterr()
    tokens = dataset.sampled(loaded.tokenizer, Sample("some/years", 222, 48, 4))
    assert tokens.tolist() == data.tolist()
    found = measure(loaded, tokens, tmp_path, lambda _: None)
    assert found.perplexity == pytest.approx(expected, rel=1e-4)
    assert found.standard_error == pytest.approx(error, rel=1e-3)
    assert asked[0] == asked[2] == ("some/years", "train", {})
    assert capsys.readouterr().out == "", "what mlx-lm says on its way is no result"


def test_the_seed_decides_and_nothing_else_notices(random_model: Callable[..., Path], asked: list[Any]) -> None:
    tokenizer = forward.load(random_model()).tokenizer
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    one, two, again = (dataset.sampled(tokenizer, Sample("some/years", seed, 64, 8)).tolist() for seed in (1, 2, 1))
    assert one == again != two
    assert np.random.random() == expected


def test_the_evidence_names_the_dataset_and_the_tokens(
    random_model: Callable[..., Path], asked: list[Any], tmp_path: Path
) -> None:
    model = Examined(random_model(), "a" * 64, tmp_path)
    where = {"dataset": "some/years", "seed": 5}
    found = compare(model, model, Sample("some/years", 5, 16, 3), "resident", lambda _: None)
    base, *_ = quality_measurements(found, where, {})
    assert base.settings["text"] == where, "what was tokenized has no digest of its own"
    assert {"window": 16, "windows": 3, "token_ids": found.token_ids}.items() <= base.settings.items()
    assert base.values["tokens"] == 3 * 15


@pytest.mark.skipif(find_spec("datasets") is None, reason="the package `datasets` is not installed")
def test_the_package_itself_reads_a_folder(random_model: Callable[..., Path], folder: Path) -> None:
    tokenizer = forward.load(random_model()).tokenizer
    expected = _of_mlx_lm(tokenizer, str(folder), 9)
    assert dataset.sampled(tokenizer, Sample(str(folder), 9, 48, 4)).tolist() == expected.tolist()


def test_a_dataset_too_small_is_refused_with_what_it_lacks(random_model: Callable[..., Path], asked: list[Any]) -> None:
    tokenizer = forward.load(random_model()).tokenizer
    with pytest.raises(UsageError, match=r"'some/years' has fewer than 512,000 tokens, 1000 samples of 512"):
        dataset.sampled(tokenizer, Sample("some/years", 1, 512, 1000))


def test_a_dataset_that_is_nowhere_is_named(random_model: Callable[..., Path], asked: list[Any]) -> None:
    tokenizer = forward.load(random_model()).tokenizer
    with pytest.raises(UsageError, match="'nobody/nothing' cannot be sampled: nobody/nothing is nowhere"):
        dataset.sampled(tokenizer, Sample("nobody/nothing", 1, 8, 2))


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match="needs the package `datasets`") as raised:
        dataset.check_installed()
    assert "pip install '.[eval]'" in raised.value.hint
