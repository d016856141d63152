"""What a new release.yaml says, and the comments that teach how to change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.metadata.values import OTHER
from pipeline.release.macs import GIB, raised, smallest_mac, smallest_raised, usable
from pipeline.release.mixed import has_experts
from pipeline.release.prompts import prompts
from pipeline.release.recipe import Precision
from pipeline.release.written import format_tokens
from pipeline.stages.sizes import longest_context
from pipeline.weights.config import source_quantization

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.manifest import Json
    from pipeline.release.recipe import Module
    from pipeline.stages.first_recipe import FirstRecipe
    from pipeline.stages.first_text import FirstText
    from pipeline.weights.base import BaseModel
    from pipeline.weights.tokenizer import TokenizerFiles

_CONTEXT = 32 << 10
_PUBLISHED = {
    "compressed-tensors": "was published with weights in 4 bits (INT4)",
    "mxfp4": "was published with weights in 4 bits (mxfp4)",
    "fp8": "was published with weights in 8 bits (fp8)",
    "mlx": "is a quantization by mlx-lm itself",
}
"""By the method that config.json names; others are refused."""


@dataclass(frozen=True)
class Facts:
    """named: the branch, tag or commit that `base.revision` was found by; budget: as a person wrote it, or "".

    license: what a person said instead of the base's card, as it is written there.
    """

    name: str
    hub: Literal["huggingface", "local"]
    base: BaseModel
    named: str
    license: Json
    modules: Sequence[Module]
    tokenizer: TokenizerFiles
    recipe: FirstRecipe
    target: str
    tag: str
    budget: str
    text: FirstText


def written(facts: Facts) -> tuple[dict[str, Json], dict[str, str]]:
    """The keys in their order, and comments by dotted path, as `pipeline.release.annotated.write` takes them.

    Nothing of it is a word of the base repository but its name and what its card states, which keeps the Hub's rules.
    """
    keys: dict[str, Json] = {"title": _title(facts), "summary": _summary(facts)}
    comments = {
        "": f"A release of {facts.base.repo}, proposed by `pipeline init` from its config, headers and card. From here "
        f"on it is yours: `pipeline plan {facts.name}` says what comes out of it, and pipeline's docs/release-files.md "
        "describes every key.\n"
        "Title and summary stand at the top of the model card. Say there what it is good for; the figures are measured."
    }
    if facts.license:
        keys["license"] = facts.license
        comments["license"] = f"Said by --license. {_stated(facts.base)}"
    if facts.hub == "local":
        keys["hub"] = "local"
        comments["hub"] = "The Hub inside of the workspace, for rehearsals; without this line it is huggingface.co."
    base: dict[str, Json] = {"repo": facts.base.repo, "revision": facts.base.revision}
    if not facts.license:
        comments["base"] = (
            f"{_stated(facts.base)} That holds for the result too, unless `license` and `language` here say otherwise."
        )
    if facts.named != facts.base.revision:
        comments["base.revision"] = f"What `{facts.named}` named: that can move, a commit cannot."
    if quantization := source_quantization(facts.base.config):
        how = _PUBLISHED[str(quantization.get("quant_method") or "mlx")]
        base["note"] = f"The base {how}, which is where this starts."
    if facts.tokenizer.is_code:
        base["trust_remote_code"] = True
        comments["base.trust_remote_code"] = (
            "Its tokenizer is Python code in the repository above. It runs here, with your rights, and with those of "
            "everybody who uses the result: you said that you trust it as it is at that commit."
        )
    keys |= {"base": base, "recipe": facts.recipe.name, "target": {"repo": facts.target, "tag": facts.tag}}
    comments["recipe"] = f"releases/recipes/{facts.recipe.name}.yaml says which part gets how many bits, and why."
    comments["target"] = (
        "It is created when it does not exist, and nobody sees it before every threshold is met. A published tag never "
        "moves: raise it for the next edition."
    )
    if fit := _fit(facts, comments):
        keys["fit"] = fit
    keys |= {"evaluate": _evaluate(facts, comments), "thresholds": _thresholds(facts, comments)}
    return keys, comments


def _model(base: BaseModel) -> str:
    return base.repo.partition("/")[2].replace("-", " ").replace("_", " ").strip()


def _title(facts: Facts) -> str:
    only = facts.recipe.uniform
    return f"{_model(facts.base)} in {f'{only.bits} bit' if isinstance(only, Precision) else 'mixed precision'}"


def _summary(facts: Facts) -> str:
    model = f"{_model(facts.base)} for MLX"
    if facts.recipe.uniform:
        return f"{model}, with one precision for all weights that can be quantized."
    if has_experts(facts.modules):
        return (
            f"{model}: fewer bits for the routed experts, which hold most of the weights, and more for what every "
            "token passes."
        )
    return (
        f"{model}: fewer bits for the matrices that hold most of the weights, and more for embeddings, attention and "
        "the most sensitive layers."
    )


def license_stated(base: BaseModel) -> str:
    """The license that the base's card names; "" where `license` in release.yaml has to."""
    if base.card is None:
        return ""
    return base.card.license_name if base.card.license == OTHER else base.card.license


def _stated(base: BaseModel) -> str:
    card = base.card
    if not card or not license_stated(base):
        return "The base's card names no license that the Hub knows."
    plural = "s" * (len(card.language) > 1)
    languages = f" and the language{plural} {', '.join(card.language)}" if card.language else ""
    return f"The base's card states the license {license_stated(base)}{languages}."


def _fit(facts: Facts, comments: dict[str, str]) -> dict[str, Json]:
    planned = facts.recipe.layout
    fit: dict[str, Json] = {"size": facts.budget} if facts.budget else {}
    context = min(longest_context(facts.base.config) or _CONTEXT, _CONTEXT)
    needed = planned.memory(context)
    mac = smallest_mac(needed) or smallest_raised(needed) if needed else None
    comments["fit"] = "What would not fit is refused before anything is downloaded."
    if not needed or not mac:
        return fit
    comments["fit"] += f" This is the smallest Mac that runs it with {context:,} tokens of context."
    fit["memory"] = f"{mac // GIB} GiB"
    if needed > usable(mac):
        fit["usable"] = f"{100 * raised(mac) / mac:g} %"
        comments["fit.usable"] = f"Needs `sudo sysctl iogpu.wired_limit_mb={raised(mac) >> 20}`."
    return {**fit, "context": format_tokens(context)}


def _evaluate(facts: Facts, comments: dict[str, str]) -> dict[str, Json]:
    speaks = facts.tokenizer.chats
    asked = prompts(facts.base.card.language if facts.base.card else ())
    comments["evaluate.text"] = facts.text.why
    comments["evaluate.prompts"] = (
        "Each is answered through the chat template: readable, ended by the model itself, and with what `expect` finds."
    )
    evaluate: dict[str, Json] = {**facts.text.keys, "prompts": asked}
    if not speaks:
        comments["evaluate.generate"] = "The base brings no chat template, so nobody can chat with it as it is."
        return {**evaluate, "generate": False, "serve": False}
    if facts.tokenizer.thinks:
        comments["evaluate.max_tokens"] = "It thinks before it answers, and that has to end too."
    return {**evaluate, "max_tokens": 2000 if facts.tokenizer.thinks else 200}


def _thresholds(facts: Facts, comments: dict[str, str]) -> dict[str, Json]:
    comments["thresholds"] = (
        "What must be reached to publish, judged by what was measured. More can be asked for: kl_mean, kl_p99, top1."
    )
    increase = "10 %" if facts.recipe.layout.bits_per_weight >= 4 else "15 %"
    return {"perplexity_increase": increase, "generation": facts.tokenizer.chats}
