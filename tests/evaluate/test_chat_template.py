from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from mlx_lm.utils import load_tokenizer

from pipeline.errors import BaseModelError
from pipeline.evaluate import chat_template
from pipeline.release.evaluated import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TURN = "{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') + '<|im_end|>\\n' }}"
PLAIN = (
    "{% for m in messages %}"
    + TURN
    + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TOOLS = (
    "{% for t in tools or [] %}{{ t | tojson }}\\n{% endfor %}{% for m in messages %}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}"
    + TURN
    + "{% endfor %}"
)
THINKING = PLAIN + "{% if enable_thinking is defined and not enable_thinking %}<think>\\n\\n</think>{% endif %}"

THINKING_TOKENS = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")


@pytest.fixture
def tokenizer(random_model: Callable[..., Path], tmp_path: Path):
    """The tokenizer of bytes with a template, more tokens and another stop token."""
    plain = random_model()

    def make(template, *, tokens: tuple[str, ...] = ("<|im_start|>", "<|im_end|>"), eos: str | None = "<|im_end|>"):
        folder = shutil.copytree(plain, tmp_path / f"copy-{len(list(tmp_path.iterdir()))}")
        stored = json.loads((folder / "tokenizer.json").read_text())
        for number, token in enumerate(tokens, 257):
            stored["added_tokens"].append({**stored["added_tokens"][0], "id": number, "content": token})
        (folder / "tokenizer.json").write_text(json.dumps(stored))
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template, "eos_token": eos}))
        return load_tokenizer(folder)

    return make


def problems(tokenizer):
    return {rendered.conversation: rendered.problems for rendered in chat_template.check(tokenizer)}


def test_a_prompt_is_what_the_template_makes_of_it(tokenizer):
    made = tokenizer(PLAIN)
    asked = chat_template.ask(made, Prompt(ask="Hello?", system="Be kind."))
    assert asked.text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert asked.ids == made.encode(asked.text, verbose=False, add_special_tokens=False)
    assert asked.problems == ()


def test_a_template_that_drops_what_is_asked_is_found(tokenizer):
    no_system = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    assert chat_template.ask(tokenizer(no_system), Prompt(ask="a", system="b")).problems == (
        "drops the system's words",
    )
    made = tokenizer("<|im_start|>user\nHello!<|im_end|>")
    assert chat_template.ask(made, Prompt(ask="How are you?")).problems == ("drops the user's words",)
    assert "drops the user's words" in problems(made)["several turns"]


def test_other_line_breaks_drop_nothing(tokenizer):
    made = tokenizer("{% for m in messages %}{{ m.content | trim | replace('\\n', ' ') }}{% endfor %}")
    assert chat_template.ask(made, Prompt(ask="One\n  two.")).problems == ()


def test_without_tools_and_thinking_only_turns_are_tried(tokenizer):
    assert problems(tokenizer(PLAIN)) == {"several turns": ()}


def test_a_template_that_forgets_earlier_turns_is_found(tokenizer):
    last = "{{ messages[-1].content }}"
    assert problems(tokenizer(last)) == {"several turns": ("drops the user's words", "drops what the model said")}


def test_tools_are_offered_called_and_answered(tokenizer):
    tried = chat_template.check(tokenizer(TOOLS))[1]
    assert tried.conversation == "tools"
    assert tried.problems == ()
    assert "<tool_call>lookup_temperature" in tried.text
    begins, sha256 = (tried.short()[key] for key in ("begins", "sha256"))
    assert begins.startswith('{"type": "function"')
    assert len(begins) <= 200
    assert sha256 == hashlib.sha256(tried.text.encode()).hexdigest()


def test_arguments_of_a_call_may_have_to_be_text(tokenizer):
    as_text = TOOLS.replace("c.function.arguments | tojson", "c.function.name + c.function.arguments")
    assert problems(tokenizer(as_text))["tools"] == ()


def test_a_result_may_have_a_role_of_its_own(tokenizer):
    own = TOOLS.replace("{% for m in messages %}", "{% for m in messages if m.role != 'tool' %}")
    assert problems(tokenizer(own))["tools"] == ()


def test_call_ids_may_have_to_be_nine_letters_and_digits(tokenizer):
    wrong = "m.tool_call_id and m.tool_call_id | length != 9"
    strict = "{% for m in messages if " + wrong + " %}{{ raise_exception('id') }}{% endfor %}"
    assert problems(tokenizer(strict + TOOLS))["tools"] == ()


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("c.function.name }}", "c.function.nom.upper() }}", "cannot be applied: "),
        ("{% for m in messages %}", "{% for m in messages if m.role[:4] != 'tool' %}", "drops the result of a tool"),
        ("{{ t | tojson }}", "a tool", "drops the name of a tool"),
    ],
)
def test_tools_that_are_claimed_but_do_not_come_through_are_found(tokenizer, before, after, problem):
    broken = TOOLS.replace(before, after).replace("<tool_call>{{ c.function.name }}", "<tool_call>")
    if before.startswith("c.f"):
        broken = TOOLS.replace(before, after)
    (found,) = problems(tokenizer(broken))["tools"]
    assert found.startswith(problem)


def test_a_named_template_for_tools_is_one_that_claims_them(tokenizer):
    both = [{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": TOOLS}]
    assert problems(tokenizer(both)) == {"several turns": (), "tools": ()}


def test_thinking_is_tried_on_and_off(tokenizer):
    tried = {rendered.conversation: rendered for rendered in chat_template.check(tokenizer(THINKING))}
    assert list(tried) == ["several turns", "thinking on", "thinking off"]
    assert "</think>" not in tried["thinking on"].text
    assert "</think>" in tried["thinking off"].text


def test_a_template_may_know_thinking_by_its_tokens_alone(tokenizer):
    made = tokenizer(PLAIN, tokens=THINKING_TOKENS)
    assert set(problems(made)) == {"several turns", "thinking on", "thinking off"}


def test_thinking_that_cannot_be_switched_off_is_found(tokenizer):
    broken = THINKING.replace("<think>", "{{ raise_exception('always think') }}")
    assert problems(tokenizer(broken))["thinking off"] == ("cannot be applied: always think",)


def test_a_prompt_may_switch_thinking_off(tokenizer):
    made = tokenizer(THINKING, tokens=THINKING_TOKENS)
    assert "<think>" in chat_template.ask(made, Prompt(ask="Hello?", thinking=False)).text
    assert "<think>" not in chat_template.ask(made, Prompt(ask="Hello?")).text


def test_an_answer_ends_at_a_stop_token(tokenizer):
    assert chat_template.wrong_ending(tokenizer(PLAIN), endless=True) == ""
    # As in GLM: what begins the next turn ends the answer.
    next_turn = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    made = tokenizer(next_turn, tokens=("<|user|>", "<|assistant|>"), eos="<|user|>")
    assert chat_template.wrong_ending(made, endless=True) == ""


def test_a_marker_that_is_no_token_belongs_to_another_model(tokenizer):
    found = chat_template.wrong_ending(tokenizer(PLAIN.replace("<|im_end|>", "<|eot_id|>")), endless=False)
    assert found.startswith("the chat template is another model's: it ends an answer with '<|eot_id|>'")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            PLAIN,
            "the stop token is missing: the chat template ends an answer with '<|im_end|>', the model at '<end>' only",
        ),
        ("{% for m in messages %}### {{ m.content }}\n{% endfor %}", "with '###', the model at '<end>' only"),
        ("{{ messages[-1].content }}", "does not mark where an answer ends"),
    ],
)
def test_why_answers_do_not_end_is_said_only_when_they_do_not(tokenizer, template, words):
    made = tokenizer(template, eos="<end>")
    assert chat_template.wrong_ending(made, endless=False) == ""
    assert words in chat_template.wrong_ending(made, endless=True)


def test_a_model_without_any_stop_token_is_told(tokenizer):
    made = tokenizer(PLAIN, eos=None)
    made.eos_token_ids = None
    assert "the model at nothing only" in chat_template.wrong_ending(made, endless=True)


@pytest.mark.parametrize(
    ("template", "message"),
    [(None, "has no chat template"), ("{{ raise_exception('no') }}", "cannot be applied"), ("{% if %}", "cannot be")],
)
def test_without_a_usable_template_it_fails_clearly(tokenizer, template, message):
    with pytest.raises(BaseModelError, match=message):
        chat_template.ask(tokenizer(template), Prompt(ask="Hello?"))
