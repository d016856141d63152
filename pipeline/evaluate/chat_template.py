"""What a model is really asked: its chat template, and whether turns, tools and thinking come through it whole."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from jinja2 import Environment, TemplateError

from pipeline.errors import BaseModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.evaluate.model import Tokenizer
    from pipeline.manifest import Json
    from pipeline.release.evaluated import Prompt

    Messages = list[dict[str, Any]]

# A template may do anything, and one that belongs to a tokenizer's own code fails in its own way.
_FAILURES = (TemplateError, ValueError, TypeError, KeyError, IndexError, AttributeError)
_QUESTION, _ANSWER, _MORE = "How warm is it in Lisbon?", "It is 23 degrees there.", "And how warm is it in Porto?"
_TOOL, _RESULT = "lookup_temperature", "23.5 degrees Celsius"
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": _TOOL,
            "description": "The temperature of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "The name of the city."}},
                "required": ["city"],
            },
        },
    }
]
_CALL_ID = "call00001"  # nine letters and digits, for Mistral's templates refuse any other
_SHOWN_LINES, _SHOWN = 3, 200


@dataclass(frozen=True)
class Rendered:
    """One conversation as the template writes it; text is None when it cannot be rendered, problems are in words."""

    conversation: str
    text: str | None
    problems: tuple[str, ...]

    def short(self) -> dict[str, Json]:
        """As evidence: what it begins with, and the digest of all of it."""
        begins = "\n".join((self.text or "").splitlines()[:_SHOWN_LINES])[:_SHOWN]
        found = None if self.text is None else digest(self.text)
        return {
            "conversation": self.conversation,
            "begins": begins,
            "sha256": found,
            "problems": list(self.problems),
        }


@dataclass(frozen=True)
class Asked:
    """A prompt as the model gets it: as text and as the tokens of it."""

    prompt: Prompt
    text: str
    ids: list[int]

    @property
    def problems(self) -> tuple[str, ...]:
        return _lost(self.text, {"the user's words": self.prompt.ask, "the system's words": self.prompt.system or ""})


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def ask(tokenizer: Tokenizer, prompt: Prompt) -> Asked:
    """`BaseModelError` when the model has no chat template that could be applied."""
    hint = "Look at chat_template.jinja and tokenizer_config.json of the base."
    if not tokenizer.has_chat_template:
        raise BaseModelError("the model has no chat template: nobody can chat with it as it is", hint=hint)
    options = {} if prompt.thinking is None else {"enable_thinking": prompt.thinking}
    try:
        ids = tokenizer.apply_chat_template(messages(prompt), add_generation_prompt=True, **options)
        return Asked(prompt, _render(tokenizer, messages(prompt), **options), cast("list[int]", ids))
    except _FAILURES as error:
        raise BaseModelError(f"the chat template cannot be applied: {error}", hint=hint) from error


def messages(prompt: Prompt) -> Messages:
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": prompt.ask}]


def check(tokenizer: Tokenizer) -> tuple[Rendered, ...]:
    """Conversations as programs hold them: several turns, tools, and thinking, as far as the template knows them."""
    turns = [_user(_QUESTION), _assistant(_ANSWER), _user(_MORE)]
    said = {"the user's words": _QUESTION, "what the model said": _ANSWER, "the user's last words": _MORE}
    found = [_checked(tokenizer, "several turns", turns, said)]
    if "tools" in _names(tokenizer):
        found.append(_with_tools(tokenizer))
    if tokenizer.has_thinking or _names(tokenizer) & {"enable_thinking", "thinking"}:
        found += [
            _checked(
                tokenizer,
                f"thinking {'on' if on else 'off'}",
                [_user(_QUESTION)],
                {"the user's words": _QUESTION},
                enable_thinking=on,
            )
            for on in (True, False)
        ]
    return tuple(found)


def wrong_ending(tokenizer: Tokenizer, *, endless: bool) -> str:
    """In words, why answers cannot end as the template has them end; empty if they can.

    endless: an answer did not end, which makes suspicions of what would be too little for a refusal.
    """
    if _stops(tokenizer):
        return ""
    known = ", ".join(repr(tokenizer.convert_ids_to_tokens(i)) for i in sorted(tokenizer.eos_token_ids)) or "nothing"
    marker, ids = _ending(tokenizer)
    if len(ids) > 1 and re.fullmatch(r"<[|\uff5c].+[|\uff5c]>", marker):
        return f"the chat template is another model's: it ends an answer with {marker!r}, no token of this tokenizer"
    if marker and endless:
        return f"the stop token is missing: the chat template ends an answer with {marker!r}, the model at {known} only"
    if endless:
        return f"the chat template does not mark where an answer ends, and the model ends at {known} only"
    return ""


def _stops(tokenizer: Tokenizer) -> bool:
    """Whether a stop token follows an answer, at its end or as the beginning of the next turn."""
    return any(tokenizer.eos_token_ids & {*_ids(tokenizer, tail)} for tail in _tails(tokenizer))


def _ending(tokenizer: Tokenizer) -> tuple[str, Sequence[int]]:
    """What the template writes first after an answer, a marker or a word, and its token ids."""
    for tail in _tails(tokenizer):
        if found := re.match(r"\s*(<[^<>\s]+>|\S+)", tail):
            return found[1], _ids(tokenizer, found[1])
    return "", ()


def _tails(tokenizer: Tokenizer) -> Iterator[str]:
    """What stands between an answer and the end, and between it and the next turn."""
    turns = [_user(_QUESTION), _assistant(_ANSWER)]
    for conversation, end in ((turns, None), ([*turns, _user(_MORE)], _MORE)):
        try:
            text = _render(tokenizer, conversation, add_generation_prompt=False)
        except _FAILURES:
            continue
        tail = text.rpartition(_ANSWER)[2]
        yield tail.partition(end)[0] if end else tail


def _with_tools(tokenizer: Tokenizer) -> Rendered:
    """A question, the call of a tool and its result, as OpenAI's protocol has them or as the template may want them."""
    said = {"the user's words": _QUESTION, "the name of a tool": _TOOL, "the result of a tool": _RESULT}
    attempts = []
    # Some want a call's arguments as text (DeepSeek), or have another role for a result (Granite 3.0).
    for role, arguments in itertools.product(("tool", "tool_response"), ({"city": "Lisbon"}, '{"city": "Lisbon"}')):
        call = {"id": _CALL_ID, "type": "function", "function": {"name": _TOOL, "arguments": arguments}}
        conversation = [
            _user(_QUESTION),
            {**_assistant(""), "tool_calls": [call]},
            {"role": role, "name": _TOOL, "tool_call_id": _CALL_ID, "content": _RESULT},
        ]
        attempts.append(_checked(tokenizer, "tools", conversation, said, tools=_TOOLS))
    return min(attempts, key=lambda attempt: len(attempt.problems))


def _checked(
    tokenizer: Tokenizer, conversation: str, said: Messages, words: Mapping[str, str], **options: object
) -> Rendered:
    try:
        text = _render(tokenizer, said, **options)
    except _FAILURES as error:
        return Rendered(conversation, None, (f"cannot be applied: {error}",))
    return Rendered(conversation, text, _lost(text, words))


def _render(tokenizer: Tokenizer, said: Messages, **options: object) -> str:
    return str(tokenizer.apply_chat_template(said, tokenize=False, **{"add_generation_prompt": True, **options}))


def _lost(text: str, words: Mapping[str, str]) -> tuple[str, ...]:
    """What of `words`, keyed by whose they are, is not in the rendered `text`; however it is broken into lines."""
    there = _flat(text)
    return tuple(f"drops {whose}" for whose, said in words.items() if _flat(said) not in there)


def _names(tokenizer: Tokenizer) -> set[str]:
    """Every name that the template uses; one that is Python code has no such names but what mlx-lm says of it."""
    template = tokenizer.chat_template
    sources = template.values() if isinstance(template, dict) else [template] if template else []
    names = {value for source in sources for _, kind, value in Environment().lex(source) if kind == "name"}  # noqa: S701 - nothing is rendered
    return names if sources else {"tools"} if tokenizer.has_tool_calling else set()


def _ids(tokenizer: Tokenizer, text: str) -> Sequence[int]:
    return tokenizer.encode(text, verbose=False, add_special_tokens=False)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _flat(text: str) -> str:
    return " ".join(text.split())
