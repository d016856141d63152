"""Does the model speak? Prompts through the chat template, answered greedily or by chance, and what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx
from mlx_lm.generate import GenerationResponse, stream_generate
from mlx_lm.sample_utils import make_sampler

from pipeline.evaluate import chat_template, speech
from pipeline.evaluate.chat_template import Rendered
from pipeline.evaluate.forward import computing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.evaluate.chat_template import Asked
    from pipeline.evaluate.forward import Loaded
    from pipeline.evaluate.model import Tokenizer
    from pipeline.release.evaluated import Prompt, Sampling

_stream: Callable[..., Iterator[GenerationResponse]] = stream_generate


@dataclass(frozen=True)
class Transcript:
    """tokens: how many were generated, the stop token included; stopped: it came; problems: in words, none is good.

    rendered: SHA-256 of the text that the chat template made of the prompt; sampled: drawn at random, else greedy.
    """

    prompt: str
    text: str
    tokens: int
    stopped: bool
    problems: tuple[str, ...]
    rendered: str
    sampled: bool


@dataclass(frozen=True)
class Generation:
    """templates: what the chat template makes of conversations; ending: what is wrong with how it ends an answer."""

    transcripts: tuple[Transcript, ...]
    templates: tuple[Rendered, ...]
    ending: str

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem in words, the likely causes of others first."""
        templates = (
            f"the chat template {problem}, in a conversation with {rendered.conversation}"
            for rendered in self.templates
            for problem in rendered.problems
        )
        answers = (
            f"the {'sampled ' * transcript.sampled}answer to {transcript.prompt!r} {problem}"
            for transcript in self.transcripts
            for problem in transcript.problems
        )
        return (*([self.ending] if self.ending else []), *templates, *answers)

    @property
    def passed(self) -> bool:
        return not self.problems


def generate(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    max_tokens: int,
    advance: Callable[[int], None],
    sampling: Sampling | None = None,
) -> Generation:
    """Ask every prompt by itself, greedily and, with `sampling`, once more; `advance` is told of each token.

    max_tokens: of prompts that do not say it themselves.

    Raises: BaseModelError without a usable chat template.
    """
    tokenizer = loaded.tokenizer
    asked = [chat_template.ask(tokenizer, prompt) for prompt in prompts]
    with computing(loaded):
        transcripts = tuple(
            _answer(loaded, each, each.prompt.max_tokens or max_tokens, drawn, advance)
            for drawn in (None, *([sampling] if sampling else []))
            for each in asked
        )
    lost = dict.fromkeys(problem for each in asked for problem in each.problems)
    templates = (Rendered("one turn", asked[0].text, tuple(lost)), *chat_template.check(tokenizer))
    endless = not all(transcript.stopped for transcript in transcripts)
    return Generation(transcripts, templates, chat_template.wrong_ending(tokenizer, endless=endless))


def _answer(
    loaded: Loaded, asked: Asked, limit: int, sampling: Sampling | None, advance: Callable[[int], None]
) -> Transcript:
    text, ids, stopped = "", [], False
    options = {}
    if sampling:
        mx.random.seed(sampling.seed)
        options["sampler"] = make_sampler(sampling.temperature, top_p=sampling.top_p)
    for piece in _stream(loaded.model, loaded.tokenizer, asked.ids, max_tokens=limit, **options):
        text += piece.text
        ids.append(int(piece.token))
        stopped = piece.finish_reason == "stop"
        advance(1)
    said = ids[:-1] if stopped else ids
    found = [*speech.problems(text, said), *_unmet(loaded.tokenizer, asked.prompt, text)]
    if not stopped:
        found.append(f"did not stop within {limit} tokens")
    if markers := _markers(loaded.tokenizer, said):
        found.append(f"says markers that are not for people: {', '.join(markers)}")
    rendered = chat_template.digest(asked.text)
    return Transcript(asked.prompt.ask, text, len(ids), stopped, tuple(found), rendered, sampling is not None)


def _unmet(tokenizer: Tokenizer, prompt: Prompt, text: str) -> Iterator[str]:
    """What the answer lacks; what a model thinks before is no part of it."""
    thought, _, answer = text.rpartition(tokenizer.think_end) if tokenizer.think_end else ("", "", text)
    if thought and not answer.strip():
        yield "is nothing but thoughts"
    if prompt.expect and not re.search(prompt.expect, answer):
        yield f"has no {prompt.expect!r} in it, which was expected"


def _markers(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The special tokens among `ids` that no reader should meet; where a model thinks, thinking is its right."""
    thinking = {*(tokenizer.think_start_tokens or ()), *(tokenizer.think_end_tokens or ())}
    special = set(tokenizer.all_special_ids) - thinking
    return [tokenizer.convert_ids_to_tokens(i) for i in dict.fromkeys(ids) if i in special]
