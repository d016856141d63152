"""What a person writes in `release.yaml`: every key, its type, its default and its meaning.

docs/release-files.md holds the same as tables, and a test keeps the two equal.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipeline.release import written
from pipeline.release.evaluated import Evaluation
from pipeline.release.fields import (
    Commit,
    Increased,
    Language,
    Line,
    Memory,
    Name,
    Nats,
    Repo,
    Share,
    Size,
    Tag,
    Text,
    Tokens,
    Written,
)
from pipeline.release.signing import Signing
from pipeline.release.stated_license import WrittenLicense


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
        description="The share of `memory` that the GPU may use; when left out, what macOS grants (two thirds up to 32 "
        "GB, three quarters above) unless `sudo sysctl iogpu.wired_limit_mb=...` raises it.",
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
    label: Line | None = Field(
        default=None, description="Its name in tables and plots beside its siblings; NAME when left out."
    )
    license: WrittenLicense | None = Field(
        default=None, description="The license of the result; the one that the base's card states when left out."
    )
    language: tuple[Language, ...] = Field(
        default=(), description="The languages that the model speaks; those that the base's card states when left out."
    )
    hub: Literal["huggingface", "local"] = Field(
        default="huggingface", description="Where to publish: the Hugging Face Hub, or the embedded one to rehearse."
    )
    base: BaseRevision = Field(description="The model to quantize.")
    recipe: Name = Field(description="The recipe: NAME of `releases/recipes/NAME.yaml`.")
    target: Target = Field(description="Where the result goes.")
    signing: Signing | None = Field(
        default=None, description="By whom what is published is signed; nobody when left out."
    )
    fit: Fit | None = Field(default=None, description="What the result has to fit into.")
    evaluate: Evaluation = Field(description="What is measured.")
    thresholds: Thresholds = Field(description="What must be reached to publish.")
    source: Text | None = Field(
        default=None,
        description="The address of the release repository, for readers of the card who want to make it again.",
    )
    siblings: tuple[Name, ...] = Field(
        default=(),
        description="Other releases of the same base, or models from elsewhere, that the card compares this one with: "
        "the NAME of each, the first one being what the others are measured against.",
    )
    waivers: tuple[Waiver, ...] = Field(default=(), description="Thresholds that may be missed, each with its reason.")
