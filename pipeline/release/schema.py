"""What a person writes in `release.yaml` and in a recipe: every key, its type, its default and its meaning.

docs/release-files.md holds the same as tables, and a test keeps the two equal.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from pipeline.release import written
from pipeline.release.layers import Layers
from pipeline.release.limits import Increase, MemoryAt
from pipeline.release.places import shown
from pipeline.release.recipe import FORMATS, Decision, Dtype, Method, Mode, Precision, Unquantized
from pipeline.release.texts import HubFile

Text = Annotated[str, Field(min_length=1, title="text")]
Line = Annotated[Text, AfterValidator(written.check_line)]
Name = Annotated[str, AfterValidator(written.check_name), Field(title="name")]
Tag = Annotated[str, AfterValidator(written.check_tag), Field(title="name")]
Repo = Annotated[str, AfterValidator(written.check_repo), Field(title="OWNER/NAME")]
Commit = Annotated[str, Field(title="40 hexadecimal digits")]
File = Annotated[str, AfterValidator(written.check_file), Field(title="path")]
License = Annotated[str, AfterValidator(written.check_license), Field(title="identifier")]
Language = Annotated[str, AfterValidator(written.check_language), Field(title="code")]
# A blank at the end of a pattern means something.
Pattern = Annotated[
    str,
    StringConstraints(strip_whitespace=False, min_length=1),
    AfterValidator(written.check_pattern),
    Field(title="regular expression"),
]
Ranges = Annotated[Layers, BeforeValidator(written.parse_layers), Field(title="ranges such as `1-11,15`")]
Size = Annotated[int, BeforeValidator(written.parse_size), Field(title="size such as `5 GB`")]
Share = Annotated[float, BeforeValidator(written.parse_share), Field(title="share such as `10 %`")]
Tokens = Annotated[int, BeforeValidator(written.parse_tokens), Field(title="tokens such as `128k`")]
Nats = Annotated[float, BeforeValidator(written.parse_nats), Field(title="nats such as `0.05`")]
Increased = Annotated[
    Increase,
    BeforeValidator(Increase.parse),
    PlainSerializer(str),
    Field(title="`10 %`, `0.3 points` or `2 errors`"),
]
Memory = Annotated[
    MemoryAt, BeforeValidator(MemoryAt.parse), PlainSerializer(str), Field(title="memory such as `400 GB at 128k`")
]
Count = Annotated[int, Field(ge=1, le=1_000_000_000, title="whole number")]


class Written(BaseModel):
    """Anything a person typed: no key more than described, no value converted behind their back."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", str_strip_whitespace=True)


class BaseRevision(Written):
    """The base model, at one commit."""

    repo: Repo = Field(description="The repository of the base model.")
    revision: Commit = Field(description="The commit to quantize; a branch or tag is refused because it can move.")
    note: Text | None = Field(default=None, description="What readers of the card must know about the base.")
    trust_remote_code: bool = Field(
        default=False, description="Whether Python code in the base's repository may run, as some tokenizers need."
    )

    @field_validator("revision")
    @classmethod
    def _is_commit(cls, revision: str, info: ValidationInfo) -> str:
        return written.check_commit(revision, f"https://huggingface.co/{info.data.get('repo', 'OWNER/NAME')}")


class Target(Written):
    """Where the result is published."""

    repo: Repo = Field(description="The repository to publish to; it is created when it does not exist.")
    tag: Tag = Field(description="The tag that names the published commit.")
    private: bool = Field(default=False, description="Whether a repository that is created is private.")
    shard_size: Size = Field(
        default=5_000_000_000,
        description="The largest weight file: in kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (of 1024).",
    )


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


class Thresholds(Written):
    """What the evidence must show before anything is published. A threshold that is left out is not judged."""

    perplexity_increase: Increased | None = Field(
        default=None,
        description="How much higher the perplexity of the result may be: as a share, as an amount, or in standard "
        "errors of the difference.",
    )
    against: Name = Field(
        default="base",
        description="What the perplexity may be higher than: that of the `base`, or of another release by its NAME.",
    )
    kl_mean: Nats | None = Field(
        default=None, description="The most KL divergence from the base's predictions, over all tokens on average."
    )
    kl_p99: Nats | None = Field(default=None, description="The most KL divergence that 99 of 100 tokens may have.")
    top1: Share | None = Field(
        default=None,
        description="How often, at least, the next token that it finds most likely must be the one that the base does.",
    )
    generation: bool = Field(
        default=True, description="Whether every answer must be readable, end by itself and not repeat itself."
    )
    serving: bool | None = Field(
        default=None,
        description="Whether it must answer through `mlx_lm.server`, started as the card says; it must when left out, "
        "unless `evaluate.serve` is `false`.",
    )
    size: Size | None = Field(default=None, description="The most bytes that its weights may have.")
    memory: Memory | None = Field(
        default=None, description="The most that its weights and the cache of so many tokens may take together."
    )

    @field_validator("against")
    @classmethod
    def _limits_something(cls, against: str, info: ValidationInfo) -> str:
        if info.data.get("perplexity_increase", 0) is None:
            raise ValueError("says something about `perplexity_increase`, which is missing")
        return against

    @field_validator("top1")
    @classmethod
    def _is_a_share(cls, top1: float | None) -> float | None:
        if top1 is not None and top1 > 1:
            raise ValueError("must be a share of the tokens, at most 100 %")
        return top1


Threshold = Literal["perplexity_increase", "kl_mean", "kl_p99", "top1", "generation", "serving", "size", "memory"]


class Waiver(Written):
    """A threshold that may be missed; the card says so, and why."""

    threshold: Threshold = Field(description="Which one: a key of `thresholds` that is asked for.")
    why: Text = Field(description="The reason, printed on the card.")


class Fit(Written):
    """What the result has to fit into; a release that does not is refused before anything is downloaded."""

    size: Size | None = Field(default=None, description="The most bytes that its weights may have.")
    memory: Size | None = Field(
        default=None,
        description="The memory of the machine that runs it: `512 GiB` for a Mac that is sold with 512 GB.",
    )
    usable: Share | None = Field(
        default=None,
        description="The share of `memory` that the GPU may use; `75 %` when left out, about what macOS grants unless "
        "`sudo sysctl iogpu.wired_limit_mb=...` raises it.",
    )
    context: Tokens | None = Field(
        default=None, description="Tokens whose cache must fit beside the weights; k is 1024. None when left out."
    )
    beside: Size | None = Field(default=None, description="Memory that is left to other models and programs.")

    @field_validator("usable", "context", "beside")
    @classmethod
    def _needs_memory(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("memory", 0) is None:
            raise ValueError("says something about `memory`, which is missing")
        return value

    @field_validator("usable")
    @classmethod
    def _is_a_part(cls, usable: float | None) -> float | None:
        if usable is not None and not 0 < usable <= 1:
            raise ValueError("must be a share of the memory, between 0 and 100 %")
        return usable

    @model_validator(mode="after")
    def _asks_for_something(self) -> Fit:
        if self.memory is None and self.size is None:
            raise ValueError("asks for nothing: say `size`, or `memory`, or both")
        return self


class Release(Written):
    """`releases/NAME/release.yaml`."""

    title: Line = Field(description="The heading of the card.")
    summary: Text = Field(description="One or two sentences for the top of the card.")
    license: License = Field(description="The license of the result, as the Hub names it.")
    language: tuple[Language, ...] = Field(default=(), description="The languages that the model speaks.")
    hub: Literal["huggingface", "local"] = Field(
        default="huggingface", description="Where to publish: the Hugging Face Hub, or the embedded one to rehearse."
    )
    base: BaseRevision = Field(description="The model to quantize.")
    recipe: Name = Field(description="The recipe: NAME of `releases/recipes/NAME.yaml`.")
    target: Target = Field(description="Where the result goes.")
    fit: Fit | None = Field(default=None, description="What the result has to fit into.")
    evaluate: Evaluation = Field(description="What is measured.")
    thresholds: Thresholds = Field(description="What must be reached to publish.")
    waivers: tuple[Waiver, ...] = Field(default=(), description="Thresholds that may be missed, each with its reason.")


class Choice(Written):
    """What modules get: a precision (`bits`, `group_size`, `mode`), or a `dtype` to stay unquantized."""

    mode: Mode = Field(default="affine", description="How groups of weights are stored.")
    bits: int | None = Field(
        default=None,
        title="whole number",
        description="Bits of a weight: 2, 3, 4, 5, 6 or 8. Only mode affine needs it; the others have one each.",
    )
    group_size: int | None = Field(
        default=None,
        title="whole number",
        description="Weights that share a scale: 64 (default), 32 or 128; 32 in mxfp4 and mxfp8, 16 in nvfp4.",
    )
    method: Method = Field(
        default="round",
        description="How scales and biases are found: `round` takes the range of each group, as mlx does; `search`, in "
        "mode affine only, takes those of least squared error.",
    )
    dtype: Dtype | None = Field(
        default=None, validate_default=True, description="Leave unquantized, stored in this type."
    )

    @field_validator("bits")
    @classmethod
    def _bits_exist(cls, bits: int | None, info: ValidationInfo) -> int | None:
        return _known(bits, FORMATS[info.data["mode"]].bits, info) if "mode" in info.data else bits

    @field_validator("group_size")
    @classmethod
    def _group_size_exists(cls, group_size: int | None, info: ValidationInfo) -> int | None:
        return _known(group_size, FORMATS[info.data["mode"]].group_sizes, info) if "mode" in info.data else group_size

    @field_validator("method")
    @classmethod
    def _method_fits(cls, method: Method, info: ValidationInfo) -> Method:
        mode = info.data.get("mode", "affine")
        if method != "round" and mode != "affine":
            raise ValueError(f"must be `round` in mode {mode}: only mode affine has scales and biases to search for")
        return method

    @field_validator("dtype")
    @classmethod
    def _either_precision_or_dtype(cls, dtype: Dtype | None, info: ValidationInfo) -> Dtype | None:
        quantized = [key for key in ("bits", "group_size") if info.data.get(key)]
        if info.data.get("mode", "affine") != "affine":
            quantized.append("mode")
        if info.data.get("method", "round") != "round":
            quantized.append("method")
        if dtype and quantized:
            raise ValueError(f"leaves modules unquantized, so it cannot stand beside `{'` and `'.join(quantized)}`")
        if not dtype and info.data.get("mode") == "affine" and info.data.get("bits", 0) is None:
            raise ValueError("is missing: say either `bits`, or a `dtype` to leave modules unquantized")
        return dtype

    @property
    def decision(self) -> Decision:
        if self.dtype:
            return Unquantized(self.dtype)
        known = FORMATS[self.mode]
        return Precision(self.bits or known.bits[0], self.group_size or known.group_sizes[0], self.mode, self.method)


class WrittenRule(Choice):
    """One of a recipe's `rules`; the first that matches a module decides for it."""

    match: Pattern = Field(description="Found anywhere in the module's path, by Python's `re.search`.")
    layers: Ranges | None = Field(default=None, description="Only in these layers, both ends included.")
    why: Text = Field(description="The reason, printed on the card.")


class Fallback(Choice):
    """What modules get that no rule matches and for which the architecture has no wish of its own."""

    why: Text | None = Field(default=None, description="The reason, printed on the card.")


def _parse_otherwise(value: object, info: ValidationInfo) -> Fallback | Literal["error"] | None:
    match value:
        case None if info.data.get("extends", "") is None:
            raise ValueError("is missing: say what modules get that no rule matches, or `error` to refuse them")
        case None:
            return None
        case "error":
            return "error"
        case dict():
            return Fallback.model_validate(value)
    raise ValueError(f"must be `error`, or keys such as `bits: 4`, not {shown(value)}")


Otherwise: TypeAlias = Annotated[
    Fallback | Literal["error"] | None,
    PlainValidator(_parse_otherwise),
    Field(title="`error`, or keys"),
]


class WrittenRecipe(Written):
    """`releases/recipes/NAME.yaml`, as written: what it `extends` is not yet looked up."""

    version: Count = Field(description="Raised whenever the recipe changes.")
    summary: Text = Field(description="What the recipe is good for, in a sentence or two.")
    extends: Name | None = Field(
        default=None, description="Another recipe to build on: its rules come after this one's own."
    )
    rules: tuple[WrittenRule, ...] = Field(default=(), description="In order; the first rule that matches decides.")
    otherwise: Otherwise = Field(
        default=None,
        validate_default=True,
        description="What modules get that no rule matches; with `extends` it may be left out, and the parent's holds.",
    )


def _known(value: int | None, allowed: tuple[int, ...], info: ValidationInfo) -> int | None:
    if value is not None and value not in allowed:
        *most, last = map(str, sorted(allowed))
        names = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"must be {names} in mode {info.data['mode']}, not {value}")
    return value
