"""Does the model speak? Prompts through the chat template, answered greedily, and what is wrong with the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlx_lm.generate import GenerationResponse, stream_generate

from pipeline.errors import BaseModelError
from pipeline.evaluate import speech
from pipeline.evaluate.forward import computing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.evaluate.forward import Loaded
    from pipeline.evaluate.model import Tokenizer

_stream: Callable[..., Iterator[GenerationResponse]] = stream_generate


@dataclass(frozen=True)
class Transcript:
    """tokens: how many were generated, the stop token included; stopped: it came; problems: in words, none is good."""

    prompt: str
    text: str
    tokens: int
    stopped: bool
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Generation:
    transcripts: tuple[Transcript, ...]

    @property
    def passed(self) -> bool:
        return not any(transcript.problems for transcript in self.transcripts)


def generate(loaded: Loaded, prompts: Sequence[str], max_tokens: int, advance: Callable[[int], None]) -> Generation:
    """Ask every prompt by itself; `advance` is told of each token. `BaseModelError` without a usable chat template."""
    with computing(loaded):
        return Generation(tuple(_answer(loaded, prompt, max_tokens, advance) for prompt in prompts))


def _answer(loaded: Loaded, prompt: str, max_tokens: int, advance: Callable[[int], None]) -> Transcript:
    text, ids, stopped = "", [], False
    asked = _templated(loaded.tokenizer, prompt)
    for piece in _stream(loaded.model, loaded.tokenizer, asked, max_tokens=max_tokens):
        text += piece.text
        ids.append(int(piece.token))
        stopped = piece.finish_reason == "stop"
        advance(1)
    said = ids[:-1] if stopped else ids
    found = list(speech.problems(text, said))
    if not stopped:
        found.append(f"did not stop within {max_tokens} tokens")
    if markers := _markers(loaded.tokenizer, said):
        found.append(f"says markers that are not for people: {', '.join(markers)}")
    return Transcript(prompt, text, len(ids), stopped, tuple(found))


def _templated(tokenizer: Tokenizer, prompt: str) -> list[int]:
    from jinja2 import TemplateError

    hint = "Look at chat_template.jinja and tokenizer_config.json of the base."
    if not tokenizer.has_chat_template:
        raise BaseModelError("the model has no chat template: nobody can chat with it as it is", hint=hint)
    try:
        return tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise BaseModelError(f"the chat template cannot be applied: {error}", hint=hint) from error


def _markers(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The special tokens among `ids` that no reader should meet; where a model thinks, thinking is its right."""
    thinking = {*(tokenizer.think_start_tokens or ()), *(tokenizer.think_end_tokens or ())}
    special = set(tokenizer.all_special_ids) - thinking
    return [tokenizer.convert_ids_to_tokens(i) for i in dict.fromkeys(ids) if i in special]
