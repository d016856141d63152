from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.evaluate import forward, generation
from pipeline.release.evaluated import Prompt, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROMPTS = [Prompt(ask="Name three fruits."), Prompt(ask="What is 2 + 2?", expect="4")]
LLAMA3 = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}{{ m['content'] }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)


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
    assert [t.prompt for t in result.transcripts] == [prompt.ask for prompt in PROMPTS]
    assert [rendered.conversation for rendered in result.templates] == ["one turn", "several turns"]
    assert result.templates[0].short()["sha256"] == fruits.rendered != sum_.rendered
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
    result = generation.generate(base, [Prompt(ask="How do I boil an egg?")], 60, quiet)
    loop, endless = result.problems
    assert loop.startswith("the answer to 'How do I boil an egg?' says the line 'Boil an egg:'")
    assert endless == "the answer to 'How do I boil an egg?' did not stop within 60 tokens"
    assert result.transcripts[0].tokens == 60


def test_random_weights_do_not_speak(random_model: Callable[..., Path]) -> None:
    assert not generation.generate(forward.load(random_model()), PROMPTS, 60, quiet).passed


def test_markers_are_not_for_people_but_thinking_is_allowed(base: forward.Loaded) -> None:
    tokenizer = base.tokenizer
    ids = [*tokenizer.encode("<|im_start|>user", verbose=False), *tokenizer.encode("<|im_start|>hi", verbose=False)]
    assert generation._markers(tokenizer, ids) == ["<|im_start|>"]


def test_answers_are_drawn_once_more_and_the_same_for_the_same_seed(random_model: Callable[..., Path]) -> None:
    loaded = forward.load(random_model())
    both = generation.generate(loaded, PROMPTS, 12, quiet, Sampling(seed=1))
    assert [(t.prompt, t.sampled) for t in both.transcripts] == [
        (prompt.ask, sampled) for sampled in (False, True) for prompt in PROMPTS
    ]
    assert both.transcripts[:2] == generation.generate(loaded, PROMPTS, 12, quiet).transcripts
    greedy, again = generation.generate(loaded, PROMPTS[:1], 12, quiet, Sampling(seed=1)).transcripts
    other = generation.generate(loaded, PROMPTS[:1], 12, quiet, Sampling(seed=2)).transcripts[1]
    assert again == both.transcripts[2], "it depends on no other prompt"
    assert len({greedy.text, again.text, other.text}) == 3
    assert "the sampled answer to 'Name three fruits.' did not stop within 12 tokens" in both.problems


@pytest.mark.parametrize("sampling", [Sampling(temperature=1e-4), Sampling(temperature=1, top_p=1e-6)])
def test_less_temperature_and_fewer_tokens_are_less_chance(
    random_model: Callable[..., Path], sampling: Sampling
) -> None:
    cold = generation.generate(forward.load(random_model()), PROMPTS[:1], 12, quiet, sampling)
    assert cold.transcripts[0].text == cold.transcripts[1].text


def test_what_is_expected_must_be_in_an_answer_of_its_own_length(base: forward.Loaded) -> None:
    ask = PROMPTS[0].ask
    prompts = [Prompt(ask=ask, expect=r"Grapes\Z"), Prompt(ask=ask, expect="[Pp]otato"), Prompt(ask=ask, max_tokens=3)]
    result = generation.generate(base, prompts, 40, quiet)
    assert result.problems == (
        "the answer to 'Name three fruits.' has no '[Pp]otato' in it, which was expected",
        "the answer to 'Name three fruits.' did not stop within 3 tokens",
    )
    assert result.transcripts[2].tokens == 3


def test_thoughts_are_no_answer() -> None:
    tokenizer: Any = SimpleNamespace(think_end="</think>")
    expecting = Prompt(ask="?", expect="Paris")
    assert list(generation._unmet(tokenizer, expecting, "<think>London?</think>Paris.")) == []
    assert list(generation._unmet(tokenizer, expecting, "Paris.")) == []
    assert list(generation._unmet(tokenizer, expecting, "Paris? No!</think>London.")) == [
        "has no 'Paris' in it, which was expected"
    ]
    assert list(generation._unmet(tokenizer, Prompt(ask="?"), "Paris?</think>\n")) == ["is nothing but thoughts"]


@pytest.fixture
def spoilt(smollm2_base: Path, tmp_path: Path) -> Callable[..., forward.Loaded]:
    """The trained model with other values in its JSON files."""

    def make(**files: dict[str, Any]) -> forward.Loaded:
        for path in smollm2_base.iterdir():
            (tmp_path / path.name).symlink_to(path)
        for name, changed in files.items():
            path = tmp_path / f"{name}.json"
            content = json.loads(path.read_text())
            path.unlink()
            path.write_text(json.dumps({**content, **changed}))
        return forward.load(tmp_path)

    return make


def test_the_template_of_another_model_is_named(spoilt: Callable[..., forward.Loaded]) -> None:
    result = generation.generate(spoilt(tokenizer_config={"chat_template": LLAMA3}), PROMPTS[:1], 24, quiet)
    assert not result.passed
    assert result.problems[0] == (
        "the chat template is another model's: it ends an answer with '<|eot_id|>', no token of this tokenizer"
    )
    assert "the answer to 'Name three fruits.' did not stop within 24 tokens" in result.problems


def test_a_template_that_drops_the_question_is_named(spoilt: Callable[..., forward.Loaded]) -> None:
    hello = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    result = generation.generate(spoilt(tokenizer_config={"chat_template": hello}), PROMPTS[:1], 30, quiet)
    assert result.problems[0] == "the chat template drops the user's words, in a conversation with one turn"
    assert result.transcripts[0].problems == (), "the model says something readable, and still is refused"


def test_a_missing_stop_token_is_named(spoilt: Callable[..., forward.Loaded]) -> None:
    end = {"eos_token_id": 0}
    ends = "the chat template ends an answer with '<|im_end|>', the model at '<|endoftext|>' only"
    loaded = spoilt(tokenizer_config={"eos_token": "<|endoftext|>"}, config=end, generation_config=end)
    result = generation.generate(loaded, PROMPTS[:1], 20, quiet)
    assert result.problems == (
        f"the stop token is missing: {ends}",
        "the answer to 'Name three fruits.' did not stop within 20 tokens",
        "the answer to 'Name three fruits.' says markers that are not for people: <|im_end|>, <|im_start|>",
    )
