from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.errors import NotServed
from pipeline.evaluate import forward, serving
from pipeline.evaluate.measurement import (
    generation_measurement,
    quality_measurements,
    save_losses,
    serving_measurement,
)
from pipeline.evaluate.quality import Examined, Text, compare
from pipeline.evidence import Evidence, Measurement
from pipeline.release.evaluated import Prompt, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "Once upon a time there was a king who had a daughter and no money. " * 3


def _measured(base: Path, quantized: Path, states: Path, **changed: Any) -> tuple[Measurement, ...]:
    text = Text(**{"content": TEXT, "window": 20, "windows": 3, **changed})
    models = (Examined(folder, letter * 64, states) for folder, letter in ((base, "a"), (quantized, "b")))
    found = compare(*models, text, "resident", lambda _: None)
    return quality_measurements(found, {"repo": "demo/text"}, {"repo": "demo/base"})


@pytest.fixture(scope="module")
def folders(random_model: Callable[..., Path]) -> tuple[Path, Path]:
    return random_model(), random_model(group_size=32, bits=4)


def test_evidence_holds_the_figures_and_all_that_would_change_them(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, quantized, divergence = measured = _measured(*folders, tmp_path)
    for found in measured:
        assert found.values["tokens"] == 3 * 19
        assert found.settings["text"]["repo"] == "demo/text"
        assert {"backend": "cpu", "dtype": "float32", "window": 20, "windows": 3}.items() <= found.settings.items()
        assert abs((datetime.now(UTC) - datetime.fromisoformat(found.measured_at)).total_seconds()) < 60
        assert found.tools["mlx"]
        assert found.machine["cores"] >= 1
        assert Evidence.from_json(Evidence((found,)).to_json()).find(found.measure, found.subject) == found
    assert [(one.measure, one.subject, one.weights[0]) for one in measured] == [
        ("perplexity", "base", "a"),
        ("perplexity", "quantized", "b"),
        ("divergence", "quantized", "b"),
    ]
    assert base.values["perplexity"] > 100
    difference = math.log(quantized.values["perplexity"]) - math.log(base.values["perplexity"])
    assert divergence.values["loss_difference"] == pytest.approx(difference, abs=1e-5)
    assert divergence.values["kl_mean"] > 0
    assert divergence.settings["baseline"] == {"repo": "demo/base", "weights": "a" * 64}


@pytest.mark.parametrize("changed", [{"content": TEXT.upper()}, {"windows": 2}, {"window": 10}])
def test_another_question_has_other_settings(
    folders: tuple[Path, Path], tmp_path: Path, changed: dict[str, Any]
) -> None:
    asked, other = _measured(*folders, tmp_path)[0], _measured(*folders, tmp_path, **changed)[0]
    assert asked.settings != other.settings
    assert asked.values != other.values


def test_losses_are_kept_token_by_token(folders: tuple[Path, Path], tmp_path: Path) -> None:
    models = [Examined(folder, letter * 64, tmp_path) for folder, letter in zip(folders, "ab", strict=True)]
    found = compare(*models, Text(TEXT, 20, 3), "resident", lambda _: None)
    save_losses(tmp_path / "losses.npz", found)
    with np.load(tmp_path / "losses.npz") as kept:
        assert kept["base"].dtype == np.float32
        assert kept["base"].shape == kept["quantized"].shape == (3, 19)
        assert (kept["quantized"] == found.tokenwise.quantized).all()
        assert str(kept["token_ids"]) == found.token_ids


def _generation(loaded: forward.Loaded, sampling: Sampling | None = None) -> Any:
    prompts = [Prompt(ask="Hello?"), Prompt(ask="Why?", expect="[Bb]ecause", max_tokens=3)]
    said = {"subject": "quantized", "weights": "c" * 64}
    return generation_measurement(loaded, prompts, 8, sampling, **said, advance=lambda _: None)  # type: ignore[arg-type]


def test_a_server_that_does_not_run_is_evidence_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotServed("mlx_lm.server ended with exit code 1", hint="Leave it out.")

    monkeypatch.setattr(serving, "serve", refuse)
    found = serving_measurement(
        tmp_path,
        Prompt(ask="Hello?"),
        8,
        repository="demo/model",
        trust_remote_code=False,
        subject="quantized",
        weights="c" * 64,
        advance=lambda _: None,
    )
    assert found.values["passed"] is False
    assert found.values["problems"] == ["mlx_lm.server ended with exit code 1. Leave it out."]


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
