"""Speed by mlx_lm.benchmark's method; how fast this machine is, no test can know."""

from __future__ import annotations

import itertools
import math
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm import benchmark as theirs

from pipeline.errors import BaseModelError, Interrupted
from pipeline.evaluate import benchmark, forward
from pipeline.evaluate.lengths import Length
from pipeline.evaluate.measurement import speed_measurement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VOCABULARY = 300


def quiet(_: int) -> None: ...


@pytest.fixture(scope="module")
def loaded(random_model: Callable[..., Path]) -> forward.Loaded:
    return forward.load(random_model())


def responses(log: list[Any], rates: Any) -> Callable[..., Any]:
    """In the place of mlx-lm's `stream_generate`: notes what it was asked and answers with given rates."""

    def stream(model: Any, tokenizer: Any, prompt: Any, *, max_tokens: int, **options: Any) -> Any:
        ids = prompt if isinstance(prompt, list) else prompt.tolist()
        log.append((ids, max_tokens, set(tokenizer.eos_token_ids)))
        rate = next(rates)
        yield SimpleNamespace(prompt_tps=rate, generation_tps=10 * rate, peak_memory=0.0)

    return stream


def test_it_asks_what_mlx_lm_benchmark_asks(loaded: forward.Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, list[Any]] = {"theirs": [], "ours": []}
    stop = set(loaded.tokenizer.eos_token_ids)
    config = {"vocab_size": VOCABULARY}
    monkeypatch.setattr(theirs, "load", lambda *_, **__: (loaded.model, loaded.tokenizer, config))
    monkeypatch.setattr(theirs, "stream_generate", responses(asked["theirs"], itertools.count(1)))
    monkeypatch.setattr(sys, "argv", ["mlx_lm.benchmark", "-p", "40", "-g", "1", "-n", "3"])
    theirs.main()
    loaded.tokenizer.eos_token_ids = stop
    monkeypatch.setattr(benchmark, "_stream", responses(asked["ours"], itertools.count(1)))
    benchmark.measure(loaded, VOCABULARY, Length("prompt", 40), 3, quiet)
    assert asked["ours"] == asked["theirs"]
    assert len(asked["ours"]) == 4, "once to warm up, then three trials"
    assert len({*asked["ours"][0][0]}) > 20, "random tokens"
    assert not asked["ours"][0][2], "nothing stops it"
    assert loaded.tokenizer.eos_token_ids == stop != set()


@pytest.mark.parametrize(("kind", "factor"), [("prompt", 1), ("generation", 10)])
def test_the_warm_up_does_not_count(
    loaded: forward.Loaded, monkeypatch: pytest.MonkeyPatch, kind: Any, factor: int
) -> None:
    monkeypatch.setattr(benchmark, "_stream", responses([], iter([1000.0, 1.0, 2.0, 6.0])))
    speed = benchmark.measure(loaded, VOCABULARY, Length(kind, 8), 3, quiet)
    assert (speed.tokens, speed.tokens_per_second) == (8, 3 * factor)
    assert speed.deviation == pytest.approx(math.sqrt(7) * factor)


@pytest.mark.parametrize("length", [Length("prompt", 700), Length("generation", 5)], ids=str)
def test_every_token_is_told_of_whether_or_not_the_model_would_stop(loaded: forward.Loaded, length: Length) -> None:
    loaded.tokenizer.eos_token_ids = set(range(VOCABULARY))
    told: list[int] = []
    speed = benchmark.measure(loaded, VOCABULARY, length, 2, told.append)
    assert sum(told) == length.work(2)
    assert loaded.tokenizer.eos_token_ids == set(range(VOCABULARY))
    assert speed.tokens_per_second > 0
    assert speed.deviation is not None
    weights = sum(array.nbytes for _, array in tree_flatten(loaded.model.parameters()))
    cache = 2 * 2 * 16 * 2 * length.prompt * 4  # keys and values, heads, width, layers, tokens, float32
    assert speed.peak_memory > weights + cache


def test_memory_that_something_else_needed_before_does_not_count(loaded: forward.Loaded) -> None:
    mx.eval(mx.zeros((1 << 28,), mx.uint8))
    assert benchmark.measure(loaded, VOCABULARY, Length("prompt", 8), 1, quiet).peak_memory < 1 << 27


def test_a_stopped_run_leaves_the_tokenizer_as_it_was(loaded: forward.Loaded) -> None:
    loaded.tokenizer.eos_token_ids = {7}

    def stop(_: int) -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        benchmark.measure(loaded, VOCABULARY, Length("generation", 5), 2, stop)
    assert loaded.tokenizer.eos_token_ids == {7}


def test_one_trial_has_no_deviation(loaded: forward.Loaded) -> None:
    assert benchmark.measure(loaded, VOCABULARY, Length("prompt", 8), 1, quiet).deviation is None


def test_the_evidence_says_how_and_on_what(loaded: forward.Loaded) -> None:
    found = speed_measurement(
        loaded, Length("prompt", 16), VOCABULARY, 2, subject="quantized", weights="c" * 64, advance=quiet
    )
    assert (found.measure, found.subject, found.harness) == ("speed", "quantized", "pipeline")
    assert found.values["generation"] == []
    (row,) = found.values["prompt"]  # type: ignore[misc]
    assert set(row) == {"tokens", "tokens_per_second", "deviation", "peak_memory"}
    assert {"backend": "cpu", "dtype": "float32", "trials": 2, "method": "mlx_lm.benchmark"}.items() <= (
        found.settings.items()
    )
    assert found.settings["device"]


def test_the_vocabulary_is_the_models_wherever_its_config_says_it() -> None:
    assert benchmark.vocabulary({"vocab_size": 300}) == 300
    assert benchmark.vocabulary({"text_config": {"vocab_size": 163840}}) == 163840
    with pytest.raises(BaseModelError, match="no `vocab_size`"):
        benchmark.vocabulary({"text_config": None})
