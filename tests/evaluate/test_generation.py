from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import BaseModelError
from pipeline.evaluate import forward, generation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROMPTS = ["Name three fruits.", "What is 2 + 2?"]


def quiet(_: int) -> None: ...


@pytest.fixture(scope="module")
def base(smollm2_base: Path) -> forward.Loaded:
    return forward.load(smollm2_base)


def test_a_trained_model_speaks(base: forward.Loaded) -> None:
    told: list[int] = []
    result = generation.generate(base, PROMPTS, 40, told.append)
    assert result.passed, result
    fruits, sum_ = result.transcripts
    assert fruits.text == "1. Bananas\n2. Oranges\n3. Grapes"
    assert "4" in sum_.text
    assert [t.prompt for t in result.transcripts] == PROMPTS
    assert all(t.stopped and not t.problems for t in result.transcripts)
    assert sum(told) == sum(t.tokens for t in result.transcripts)
    assert generation.generate(base, PROMPTS, 40, quiet) == result


@pytest.mark.parametrize("bits", [8, 6, 5])
def test_it_still_speaks_in_fewer_bits(smollm2_quantized: Callable[[int], Path], bits: int) -> None:
    result = generation.generate(forward.load(smollm2_quantized(bits)), PROMPTS, 40, quiet)
    assert result.passed, result


def test_in_two_bits_it_does_not(smollm2_quantized: Callable[[int], Path]) -> None:
    result = generation.generate(forward.load(smollm2_quantized(2)), PROMPTS, 30, quiet)
    assert not result.passed
    for transcript in result.transcripts:
        assert not transcript.stopped
        assert "did not stop within 30 tokens" in transcript.problems


def test_an_endless_answer_loops_and_does_not_stop(base: forward.Loaded) -> None:
    (transcript,) = generation.generate(base, ["How do I boil an egg?"], 60, quiet).transcripts
    assert len(transcript.problems) == 2
    assert transcript.problems[0].startswith("says the line 'Boil an egg:'")
    assert transcript.tokens == 60


def test_random_weights_do_not_speak(random_model: Callable[..., Path]) -> None:
    assert not generation.generate(forward.load(random_model()), PROMPTS, 60, quiet).passed


def test_markers_are_not_for_people_but_thinking_is_allowed(base: forward.Loaded) -> None:
    tokenizer = base.tokenizer
    ids = [*tokenizer.encode("<|im_start|>user", verbose=False), *tokenizer.encode("<|im_start|>hi", verbose=False)]
    assert generation._markers(tokenizer, ids) == ["<|im_start|>"]


@pytest.mark.parametrize(
    ("template", "message"),
    [(None, "has no chat template"), ("{{ raise_exception('no') }}", "cannot be applied"), ("{% if %}", "cannot be")],
)
def test_without_a_usable_chat_template_it_fails_clearly(
    random_model: Callable[..., Path], copy: Callable[[Path], Path], template: str | None, message: str
) -> None:
    folder = copy(random_model())
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    with pytest.raises(BaseModelError, match=message):
        generation.generate(forward.load(folder), PROMPTS, 5, quiet)
