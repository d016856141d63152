from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.evaluate import forward
from pipeline.evaluate.measurement import generation_measurement, perplexity_measurement, serving_measurement
from pipeline.evidence import Evidence
from pipeline.release.schema import Prompt, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "Once upon a time there was a king who had a daughter and no money. " * 3


def _perplexity(loaded: forward.Loaded, **changed: Any) -> Any:
    asked: dict[str, Any] = {"text": TEXT, "window": 20, "count": 3, "subject": "base", "weights": "a" * 64, **changed}
    return perplexity_measurement(loaded, **asked, source={"repo": "demo/text"}, advance=lambda _: None)


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


def _generation(loaded: forward.Loaded, sampling: Sampling | None = None) -> Any:
    prompts = [Prompt(ask="Hello?"), Prompt(ask="Why?", expect="[Bb]ecause", max_tokens=3)]
    said = {"subject": "quantized", "weights": "c" * 64}
    return generation_measurement(loaded, prompts, 8, sampling, **said, advance=lambda _: None)  # type: ignore[arg-type]


def test_answers_are_evidence_with_their_problems(random_model: Callable[..., Path]) -> None:
    loaded = forward.load(random_model())
    found = _generation(loaded)
    assert found.values["passed"] is False
    answer, _ = found.values["transcripts"]
    assert answer["prompt"] == "Hello?"
    assert answer["tokens"] == 8
    assert "the answer to 'Hello?' did not stop within 8 tokens" in found.values["problems"]
    assert [row["conversation"] for row in found.values["templates"]] == ["one turn", "several turns"]
    assert found.settings == {
        "prompts": ["Hello?", {"ask": "Why?", "expect": "[Bb]ecause", "max_tokens": 3}],
        "max_tokens": 8,
        "sampling": "greedy",
        "backend": "cpu",
        "dtype": "float32",
    }
    assert Evidence.from_json(Evidence((found,)).to_json()).find("generation", "quantized") == found


def test_sampled_answers_say_how_they_were_drawn(random_model: Callable[..., Path]) -> None:
    found = _generation(forward.load(random_model()), Sampling(seed=5))
    assert [row["sampled"] for row in found.values["transcripts"]] == [False, False, True, True]
    assert found.settings["sampling"] == {"temperature": 0.7, "top_p": 0.95, "seed": 5}


def test_a_served_answer_is_evidence_with_the_command_of_the_card(random_model: Callable[..., Path]) -> None:
    found = serving_measurement(
        random_model(),
        Prompt(ask="Hello?"),
        8,
        repository="demo/tiny",
        trust_remote_code=False,
        subject="quantized",
        weights="d" * 64,
        advance=lambda _: None,
    )
    assert found.measure == "serving"
    assert found.values["command"] == "mlx_lm.server --model demo/tiny"
    assert found.values["passed"] is False
    assert found.values["problems"]
    assert found.settings == {
        "prompt": "Hello?", "max_tokens": 8, "sampling": "greedy", "backend": "cpu", "dtype": "float32",
    }  # fmt: skip
    assert Evidence.from_json(Evidence((found,)).to_json()).find("serving", "quantized") == found
