"""What a person writes under `evaluate` in `release.yaml`: on what a result is measured, and what it is asked."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from pipeline.release import written
from pipeline.release.fields import Commit, Count, File, License, Line, Pattern, Repo, Text, Written
from pipeline.release.places import shown
from pipeline.release.texts import HubFile


class EvaluationText(Written):
    """What perplexity is measured on: a file of a dataset repository, a file of one's own, or a sampled dataset."""

    repo: Repo | None = Field(default=None, description="The dataset repository that holds the text.")
    revision: Commit | None = Field(default=None, description="Its commit.")
    file: File | None = Field(default=None, description="The file in it: text in UTF-8, or `.jsonl`.")
    path: File | None = Field(
        default=None, description="Instead of a repository, a file of yours: text in UTF-8, or `.jsonl`."
    )
    field: Line | None = Field(
        default=None, description="In a `.jsonl` file, the key of each line's text; `text` when left out."
    )
    dataset: Line | None = Field(
        default=None, description="Instead of a file, a dataset that is sampled as `mlx_lm.perplexity` does."
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 32, title="whole number")] | None = Field(
        default=None, description="The seed of the sampling; 123 when left out, as there."
    )
    sequence_length: Annotated[Count, Field(ge=2)] | None = Field(
        default=None, description="Tokens of a sample; 512 when left out, as there."
    )
    samples: Count | None = Field(
        default=None, description="How many samples are measured; 256 when left out, as there."
    )
    license: License = Field(description="The license of the text.")
    attribution: Text = Field(description="Who wrote the text, as its license asks; printed on the card.")

    @field_validator("revision")
    @classmethod
    def _is_commit(cls, revision: str | None, info: ValidationInfo) -> str | None:
        address = f"https://huggingface.co/datasets/{info.data.get('repo') or 'OWNER/NAME'}"
        return revision if revision is None else written.check_commit(revision, address)

    @field_validator("path", "dataset")
    @classmethod
    def _is_the_only_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        other = next((key for key in ("repo", "revision", "file", "path") if info.data.get(key)), None)
        if value is not None and other:
            raise ValueError(f"cannot stand beside `{other}`: the text is in one place")
        return value

    @field_validator("field")
    @classmethod
    def _is_of_lines(cls, field: str | None, info: ValidationInfo) -> str | None:
        name = info.data.get("file") or info.data.get("path") or ""
        if field is not None and name and not name.endswith(".jsonl"):
            raise ValueError(f"is for `.jsonl` files, and {shown(name)} is none")
        return field

    @field_validator("seed", "sequence_length", "samples")
    @classmethod
    def _is_of_a_dataset(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("dataset", "") is None:
            raise ValueError("is for a `dataset`; of a file, `evaluate.window` and `evaluate.windows` are measured")
        return value

    @model_validator(mode="after")
    def _is_somewhere(self) -> EvaluationText:
        missing = [key for key in ("repo", "revision", "file") if getattr(self, key) is None]
        if missing and not self.path and not self.dataset:
            also = ", or instead `path` or `dataset`" if len(missing) == 3 else ""
            raise ValueError(f"needs `{'`, `'.join(missing)}`{also}")
        return self

    @property
    def on_hub(self) -> HubFile | None:
        if self.repo is None or self.revision is None or self.file is None:
            return None
        return HubFile(self.repo, self.revision, self.file)

    @property
    def lines_field(self) -> str | None:
        """The key of each line's text; None for a file that is one text."""
        name = self.file or self.path or ""
        return self.field or "text" if name.endswith(".jsonl") else None


class Speed(Written):
    """How fast the result reads and generates: takes long, and is measured only when this is asked for."""

    prompts: tuple[Count, ...] = Field(default=(1000, 5000, 10000, 20000), description="The lengths of the prompts.")
    generation: tuple[Count, ...] = Field(
        default=(500, 1000, 2000, 5000), description="How many tokens are generated, each time after a short prompt."
    )
    trials: Count = Field(default=5, description="How often each is timed, after one time to warm up.")

    @field_validator("prompts", "generation")
    @classmethod
    def _each_once(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if twice := next((length for length in lengths if lengths.count(length) > 1), None):
            raise ValueError(f"holds {twice} more than once")
        return lengths

    @model_validator(mode="after")
    def _asks_for_something(self) -> Speed:
        if not self.prompts and not self.generation:
            raise ValueError("asks for nothing: leave it out, or say `prompts` or `generation`")
        return self


class Prompt(Written):
    """A question to the result, and what its answer has to be like; a text alone is one with nothing but `ask`."""

    or_text: ClassVar = True
    ask: Text = Field(description="The question.")
    system: Text | None = Field(default=None, description="What the model is told before it, in the role `system`.")
    expect: Pattern | None = Field(
        default=None,
        description="Must be found in every answer, by Python's `re.search`; what a model thinks first does not count.",
    )
    max_tokens: Count | None = Field(
        default=None, description="Tokens that the answer may have; `evaluate.max_tokens` when left out."
    )
    thinking: bool | None = Field(
        default=None,
        title="`true` or `false`",
        description="Whether the chat template is told to let the model think (`enable_thinking`); as mlx-lm does it "
        "when left out.",
    )

    def written(self) -> str | dict[str, JsonValue]:
        """As short as it can be written: its text alone where it has no other key."""
        keys = self.model_dump(exclude_none=True)
        return self.ask if set(keys) == {"ask"} else keys


def _parse_prompt(value: object) -> Prompt:
    match value:
        case str() if value.strip():
            return Prompt(ask=value)
        case str():
            raise ValueError("must not be empty")
        case dict():
            return Prompt.model_validate(value)
    raise PydanticKnownError("string_type")


WrittenPrompt: TypeAlias = Annotated[
    Prompt, PlainValidator(_parse_prompt), PlainSerializer(Prompt.written), Field(title="text, or keys")
]


class Sampling(Written):
    """How answers are drawn at random."""

    temperature: Annotated[float, Field(gt=0, le=5, title="number")] = Field(
        default=0.7, description="How daring: 1 draws tokens as often as the model would, less keeps to likely ones."
    )
    top_p: Annotated[float, Field(gt=0, le=1, title="number")] = Field(
        default=0.95, description="Only the likeliest tokens are drawn, as many as have this probability together."
    )
    seed: Annotated[int, Field(ge=0, le=0xFFFFFFFF, title="whole number")] = Field(
        default=0, description="Where the random numbers of every answer begin: the same seed gives the same answer."
    )


class Evaluation(Written):
    """What is measured, on the base and on the result alike."""

    text: EvaluationText = Field(description="What perplexity is measured on.")
    window: Annotated[Count, Field(ge=2)] = Field(default=512, description="Tokens in a window of the text.")
    windows: Count = Field(default=16, description="How many windows are measured, from the start of the text.")
    weights: Literal["auto", "resident", "streamed"] = Field(
        default="auto",
        description="How the models that are measured lie in memory: whole, one decoder layer at a time, or whole "
        "where the memory allows. The figures are the same.",
    )
    prompts: Annotated[tuple[WrittenPrompt, ...], AfterValidator(written.check_not_empty)] = Field(
        description="What the result is asked through its chat template, to see that it speaks."
    )
    max_tokens: Count = Field(default=100, description="Tokens that an answer may have.")
    sampling: Sampling | None = Field(
        default=None, description="Asks for a second answer to every prompt, drawn at random; the first is greedy."
    )
    generate: bool = Field(
        default=True,
        description="Whether the result is asked the prompts; `false` only where no machine at hand can hold it.",
    )
    serve: bool = Field(
        default=True,
        description="Whether the result is asked through `mlx_lm.server` too, as the card tells people to.",
    )
    speed: Speed | None = Field(default=None, description="How fast the result is; not measured when left out.")

    @field_validator("window", "windows")
    @classmethod
    def _is_of_a_file(cls, value: int, info: ValidationInfo) -> int:
        text = info.data.get("text")
        if text is not None and text.dataset:
            raise ValueError("is for a text in a file; of a dataset, `sequence_length` and `samples` of `text` hold")
        return value
