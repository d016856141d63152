from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.evaluate import forward
from pipeline.evaluate.measurement import generation_measurement, perplexity_measurement
from pipeline.evaluate.perplexity import windows
from pipeline.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "Once upon a time there was a king who had a daughter and no money. " * 3


def _perplexity(loaded: forward.Loaded, **changed: Any) -> Any:
    asked = {"text": TEXT, "window": 20, "count": 3, "weights": "a" * 64, **changed}
    tokens = windows(loaded.tokenizer, asked["text"], asked["window"], asked["count"])
    source = {"repo": "demo/text"}
    return perplexity_measurement(
        loaded, tokens, subject="base", weights=asked["weights"], text=source, advance=lambda _: None
    )


def test_evidence_holds_the_figure_and_all_that_would_change_it(random_model: Callable[..., Path]) -> None:
    loaded = forward.load(random_model())
    found = _perplexity(loaded)
    assert found.values["tokens"] == 3 * 19
    assert found.values["perplexity"] > 100
    assert found.settings["text"]["repo"] == "demo/text"
    assert {"backend": "cpu", "dtype": "float32", "window": 20, "windows": 3}.items() <= found.settings.items()
    assert (found.measure, found.subject, found.weights, found.source) == ("perplexity", "base", "a" * 64, "measured")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(found.measured_at)).total_seconds()) < 60
    assert found.tools["mlx"]
    assert found.machine["cores"] >= 1
    assert Evidence.from_json(Evidence((found,)).to_json()).find("perplexity", "base") == found


@pytest.mark.parametrize("changed", [{"text": TEXT.upper()}, {"count": 2}, {"window": 10}])
def test_another_question_has_other_settings(random_model: Callable[..., Path], changed: dict[str, Any]) -> None:
    loaded = forward.load(random_model())
    assert _perplexity(loaded, **changed).settings != _perplexity(loaded).settings
    assert _perplexity(loaded, weights="b" * 64).settings == _perplexity(loaded).settings


def test_answers_are_evidence_with_their_problems(random_model: Callable[..., Path]) -> None:
    loaded = forward.load(random_model())
    found = generation_measurement(loaded, ["Hello?"], 8, subject="quantized", weights="c" * 64, advance=lambda _: None)
    assert found.values["passed"] is False
    (answer,) = found.values["transcripts"]  # type: ignore[misc]
    assert answer["prompt"] == "Hello?"
    assert answer["tokens"] == 8
    assert "the answer to 'Hello?' did not stop within 8 tokens" in found.values["problems"]  # type: ignore[operator]
    assert found.settings == {
        "prompts": ["Hello?"], "max_tokens": 8, "sampling": "greedy", "backend": "cpu", "dtype": "float32",
    }  # fmt: skip
    assert Evidence.from_json(Evidence((found,)).to_json()).find("generation", "quantized") == found
