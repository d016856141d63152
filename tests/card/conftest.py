"""Releases as the card sees them, with figures that are test inputs and not measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.card.inputs import Inputs, Sibling
from pipeline.card.render import render
from pipeline.evidence import Evidence, Measurement
from pipeline.lock import (
    ContextMemory,
    Lock,
    LockedBase,
    LockedRecipe,
    LockedRule,
    LockedTarget,
    LockedWaiver,
    TensorClass,
)
from pipeline.manifest import File, Manifest
from pipeline.release.places import Place
from pipeline.release.recipe import Precision, Recipe, Rule, Unquantized
from pipeline.release.schema import Release

TEMPLATES = Path(__file__).parents[2] / "templates"
BASE_COMMIT = "6e1c0f7a5b2d4c3e8f9a0b1c2d3e4f5061728394"
TEXT_COMMIT = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"

RELEASE = {
    "title": "SmolLM2 135M Instruct in mixed precision",
    "summary": "A small chat model that answers at once on any Mac, at close to half the size of its base.",
    "license": "apache-2.0",
    "language": ("en",),
    "hub": "local",
    "base": {
        "repo": "demo/SmolLM2-135M-Instruct",
        "revision": BASE_COMMIT,
        "note": "The base is not the original checkpoint: it was dequantized to bfloat16 from a Q4_1 GGUF.",
    },
    "recipe": "mixed-5-6-8",
    "target": {"repo": "demo/SmolLM2-135M-Instruct-MLX-mixed", "tag": "v1"},
    "evaluate": {
        "text": {
            "repo": "demo/wikipedia-leads",
            "revision": TEXT_COMMIT,
            "file": "evaluation.txt",
            "license": "cc-by-sa-4.0",
            "attribution": "Lead sections of English Wikipedia articles by their authors, https://en.wikipedia.org.",
        },
        "prompts": ("What is the capital of France?", "Write a haiku about rain."),
    },
    "thresholds": {"perplexity_increase": "10 %"},
}

FLOAT32 = {"backend": "cpu", "dtype": "float32", "device": "AMD EPYC 7B13"}
TEXT = {"repo": "demo/wikipedia-leads", "revision": TEXT_COMMIT, "file": "evaluation.txt", "sha256": "5e" * 32}
SETTINGS = {"text": TEXT, "window": 512, "windows": 16, **FLOAT32}
TOOLS = {"mlx": "0.32.4", "mlx-lm": "0.32.2", "pipeline": "0.1.0", "python": "3.11.9"}
MACHINE = {"processor": "AMD EPYC 7B13", "cores": 2, "memory": 8_000_000_000, "system": "Linux 6.1 x86_64"}


def measurement(measure, subject, values, settings, **changes):
    fields = {
        "measure": measure,
        "subject": subject,
        "weights": "ab" * 32,
        "values": values,
        "settings": settings,
        "tools": TOOLS,
        "machine": MACHINE,
        "measured_at": "2026-01-02T03:04:05Z",
        **changes,
    }
    return Measurement(**fields)


def perplexity(subject, value, error, settings=SETTINGS, **changes):
    values = {"perplexity": value, "standard_error": error, "tokens": 8176}
    return measurement("perplexity", subject, values, settings, **changes)


def rate(tokens, per_second, deviation=None, peak=None):
    return {"tokens": tokens, "tokens_per_second": per_second, "deviation": deviation, "peak_memory": peak}


def speed(subject="quantized", prompt=(), generation=(), settings=None, **changes):
    values = {"prompt": list(prompt), "generation": list(generation)}
    own = {"method": "mlx_lm.benchmark", "trials": 5, "prompt_of_generation": 512, **FLOAT32}
    return measurement("speed", subject, values, own if settings is None else settings, **changes)


def gguf(name="SmolLM2-135M-Instruct-Q4_K_M.gguf", prompt=(), generation=(), **changes):
    """As `pipeline evidence import` takes it over from llama-bench."""
    settings = {"harness": "llama-bench", "build": "7822 (8f91ca54e)", "backend": "MTL,BLAS", "trials": 5}
    settings |= {"command": f"llama-bench -m {name} -p 1000 -n 500", "n_ubatch": 512, **changes.pop("settings", {})}
    fields = {
        "weights": "",
        "machine": {"chip": "Apple M3 Ultra"},
        "tools": {"llama.cpp": "7822 (8f91ca54e)"},
        **changes,
    }
    return speed(name, prompt, generation, settings, **fields)


def theirs(name, value, error=None, **changes):
    """A perplexity as `pipeline evidence import` takes it over, of another model and by another program."""
    settings = {"harness": "mlx_lm.perplexity", "build": "0.30.7", "command": f"mlx_lm.perplexity --model '{name}'"}
    settings |= {"text": "samples of 1000 tokens", "reported": "https://example.org/4", **changes.pop("settings", {})}
    values = {"perplexity": value} | ({} if error is None else {"standard_error": error}) | changes.pop("values", {})
    fields = {"weights": "", "machine": {}, "tools": {}, "source": "reported", **changes}
    return measurement("perplexity", name, values, {k: v for k, v in settings.items() if v is not None}, **fields)


def answer(prompt, text, problems=()):
    return {"prompt": prompt, "text": text, "tokens": 31, "stopped": not problems, "problems": list(problems)}


def generation(*answers):
    failed = [problem for row in answers for problem in row["problems"]]
    values = {"passed": not failed, "problems": failed, "transcripts": list(answers)}
    return measurement("generation", "quantized", values, {"max_tokens": 100, **FLOAT32})


def divergence(settings=SETTINGS, **changes):
    values = {
        "kl_mean": 0.03121, "kl_mean_error": 0.00113, "kl_median": 0.01204, "kl_p90": 0.07114, "kl_p95": 0.1103,
        "kl_p99": 0.3127, "kl_max": 4.018, "top1": 0.9412, "top1_error": 0.0026, "loss_difference": 0.04123,
        "loss_difference_error": 0.00612, "perplexity_ratio": 1.0421, "tokens": 8176,
    }  # fmt: skip
    baseline = {"repo": "demo/SmolLM2-135M-Instruct", "revision": BASE_COMMIT, "weights": "cd" * 32}
    values |= changes.pop("values", {})
    return measurement("divergence", "quantized", values, {**settings, "baseline": baseline}, **changes)


def weight_error(**classes):
    classes = classes or {"embed_tokens": 0.0041, "mlp.down_proj": 0.0312, "self_attn.q_proj": 0.0158}
    return measurement("weight_error", "quantized", {"all": 0.0254, "classes": classes}, {})


def serving(command, *problems):
    values = {"passed": not problems, "problems": list(problems), "command": command, "answer": "Paris."}
    return measurement("serving", "quantized", values, {"max_tokens": 32, "backend": "cpu", "dtype": "float32"})


def rule(match, decision, why, layers=None):
    return Rule(match, layers, decision, why, Place("releases/recipes/mixed-5-6-8.yaml"))


RULES = (
    (rule(r"embed_tokens$", Precision(8), "The table is also the output head, so its errors count twice."), 1),
    (rule(r"self_attn\.[qkvo]_proj$", Precision(6), "Its errors spread to all later tokens."), 120),
    (rule(r"mlp\.(gate|up|down)_proj$", Precision(5), "The MLP holds most of the weights."), 90),
)


@dataclass(frozen=True)
class Case:
    """All that a card is made from; `with_*` make variations."""

    release: Release
    recipe: Recipe
    lock: Lock
    evidence: Evidence
    siblings: tuple[Sibling, ...] = ()
    notes: str = ""
    released: bool = True
    templates: Path = TEMPLATES

    perplexity = staticmethod(perplexity)
    generation = staticmethod(generation)
    divergence = staticmethod(divergence)
    weight_error = staticmethod(weight_error)
    answer = staticmethod(answer)
    rate = staticmethod(rate)
    speed = staticmethod(speed)
    gguf = staticmethod(gguf)
    theirs = staticmethod(theirs)
    serving = staticmethod(serving)

    @property
    def inputs(self) -> Inputs:
        return Inputs(
            "demo", self.release, self.recipe, self.lock, self.evidence, self.siblings, self.notes, self.released
        )

    def card(self) -> str:
        return render(self.inputs, self.templates)

    def with_release(self, **changes) -> Case:
        asked = {**RELEASE, **changes}
        return replace(self, release=Release.model_validate(asked))

    def with_lock(self, **changes) -> Case:
        return replace(self, lock=replace(self.lock, **changes))

    def with_siblings(self, *siblings: tuple[str, int | None, tuple[Measurement, ...]]) -> Case:
        """Each with its label, its bytes and its measurements."""
        made = (
            Sibling(f"sibling-{number}", label, f"https://example.org/{number}", size, None, Evidence(measurements))
            for number, (label, size, measurements) in enumerate(siblings, 1)
        )
        return replace(self, siblings=tuple(made))

    def with_evidence(self, *measurements) -> Case:
        return replace(self, evidence=Evidence(measurements))


@pytest.fixture
def demo():
    recipe = Recipe(
        name="mixed-5-6-8",
        version=1,
        summary="Close to the quality of 8 bits at three quarters of the bytes.",
        rules=tuple(rule for rule, _ in RULES),
        otherwise=None,
        otherwise_why="",
        place=Place("releases/recipes/mixed-5-6-8.yaml"),
    )
    classes = (
        TensorClass("embed_tokens", 28_311_552, "8 bit g64", 30_081_024),
        TensorClass("mlp.down_proj", 26_542_080, "5 bit g64", 18_247_680),
        TensorClass("mlp.gate_proj", 26_542_080, "5 bit g64", 18_247_680),
        TensorClass("mlp.up_proj", 26_542_080, "5 bit g64", 18_247_680),
        TensorClass("self_attn.k_proj", 3_317_760, "6 bit g64", 2_695_680),
        TensorClass("self_attn.o_proj", 9_953_280, "6 bit g64", 8_087_040),
        TensorClass("self_attn.q_proj", 9_953_280, "6 bit g64", 8_087_040),
        TensorClass("self_attn.v_proj", 3_317_760, "6 bit g64", 2_695_680),
        TensorClass("norms", 35_136, "bfloat16", 70_272),
    )
    tensors = sum(kind.bytes for kind in classes)
    parameters = sum(kind.parameters for kind in classes)
    files = (
        File("config.json", 812, "c0" * 32, "1" * 40),
        File("model-00001-of-00002.safetensors", 30_081_024 + 9_000, "d1" * 32, "2" * 40),
        File("model-00002-of-00002.safetensors", tensors - 30_081_024 + 21_000, "e2" * 32, "3" * 40),
        File("model.safetensors.index.json", 41_203, "f3" * 32, "4" * 40),
        File("tokenizer.json", 3_519_551, "a4" * 32, "5" * 40),
    )
    return Case(
        release=Release.model_validate(RELEASE),
        recipe=recipe,
        lock=Lock(
            base=LockedBase("demo/SmolLM2-135M-Instruct", BASE_COMMIT, "b5" * 32),
            recipe=LockedRecipe("mixed-5-6-8", 1, "c6" * 32, "error"),
            model=Manifest(files),
            parameters=parameters,
            bytes=tensors,
            bits_per_weight=8 * tensors / parameters,
            classes=classes,
            rules=tuple(
                LockedRule(rule.match, str(rule.layers or ""), str(rule.decision), modules, rule.why)
                for rule, modules in RULES
            ),
            tools=TOOLS,
            target=LockedTarget("demo/SmolLM2-135M-Instruct-MLX-mixed", "v1"),
        ),
        evidence=Evidence(
            (
                perplexity("base", 12.4981, 0.4012),
                perplexity("quantized", 13.0243, 0.4187),
                generation(
                    answer("What is the capital of France?", "The capital of France is Paris."),
                    answer(
                        "Write a haiku about rain.", "Rain on the window,\nsoft fingers tapping the glass.\n\nSleep."
                    ),
                ),
                serving("mlx_lm.server --model demo/SmolLM2-135M-Instruct-MLX-mixed"),
            )
        ),
    )


@pytest.fixture
def measured(demo):
    """Everything is measured, and a threshold is missed and waived."""
    waived = LockedWaiver(
        "KL p99", "at most 0.3 nats", "0.3127 nats", "Rare names differ; see https://example.org/names."
    )
    return demo.with_lock(waived=(waived,)).with_evidence(*demo.evidence.measurements, divergence(), weight_error())


@pytest.fixture
def large(demo):
    """A release to the real Hub of a mixture of experts whose tokenizer is code, with a licence of its own."""
    otherwise = Unquantized("bfloat16")
    rules = (
        LockedRule("lm_head$", "", "8 bit g64", 1, "Its errors reach the probabilities of the next token unfiltered."),
        LockedRule(r"self_attn\.", "", "8 bit g64", 488, "Every token passes through it in every layer."),
        LockedRule(r"switch_mlp\.down_proj$", "1-11,50-60", "3 bit g64", 22, "The outer layers matter most."),
        LockedRule(r"switch_mlp\.", "", "2 bit g64", 158, "Most of the weights; see https://example.org/experts."),
        LockedRule("shared_experts", "", "6 bit g64", 0, "A parent's rule that decides nothing."),
    )
    classes = (
        TensorClass("switch_mlp.gate_proj", 338_228_674_560, "2 bit g64", 105_696_460_800),
        TensorClass("switch_mlp.up_proj", 338_228_674_560, "2 bit g64", 105_696_460_800),
        TensorClass("switch_mlp.down_proj", 124_017_180_672, "3 bit g64", 54_257_516_544),
        TensorClass("switch_mlp.down_proj", 214_211_493_888, "2 bit g64", 66_941_091_840),
        TensorClass("self_attn.o_proj", 7_164_919_808, "8 bit g64", 7_612_727_296),
        TensorClass("mlp.gate", 165_150_720, "bfloat16", 330_301_440),
    )
    tensors, parameters = sum(kind.bytes for kind in classes), sum(kind.parameters for kind in classes)
    files = (
        File("LICENSE", 1_300, "a1" * 32),
        File("model-00001-of-00001.safetensors", tensors + 300_000, "b2" * 32),
        File("tiktoken.model", 2_795_286, "c3" * 32),
        File("tokenization_kimi.py", 13_000, "d4" * 32),
    )
    inputs = demo.with_release(
        title="Kimi K2.5 in 2.5 bits",
        summary="Fits a Mac with 512 GB. The successor of https://huggingface.co/demo/Kimi-K2.5-MLX-2.8bit.",
        license={"name": "modified-mit"},
        language=(),
        hub="huggingface",
        base={"repo": "moonshotai/Kimi-K2.5", "revision": BASE_COMMIT, "trust_remote_code": True},
        recipe="kimi-k2.5-2.5bit",
        target={"repo": "demo/Kimi-K2.5-MLX-2.5bit", "tag": "v2.5"},
    ).with_lock(
        recipe=LockedRecipe("kimi-k2.5-2.5bit", 3, "e5" * 32, str(otherwise)),
        model=Manifest(files),
        parameters=parameters,
        bytes=tensors,
        bits_per_weight=8 * tensors / parameters,
        classes=classes,
        rules=rules,
    )
    looping = answer("Count to ten.", "one one one one", ["it repeats itself: one one one"])
    recipe = replace(demo.recipe, name="kimi-k2.5-2.5bit", version=3, summary="For a Mac with 512 GB of memory.")
    recipe = replace(
        recipe, otherwise=otherwise, otherwise_why="Small, and the router decides for everything after it."
    )
    metal = {"backend": "metal", "dtype": "bfloat16", "device": "Apple M3 Ultra"}
    return replace(inputs, recipe=recipe).with_evidence(
        perplexity("base", 3.702, 0.0204, settings={**SETTINGS, **metal}, source="reported"),
        perplexity("quantized", 3.777, 0.0203, settings={**SETTINGS, **metal}),
        generation(answer("Who are you?", "I am Kimi,\na model."), looping),
    )


@pytest.fixture
def fast(demo):
    """The demo with its speed and memory by context, beside figures of a GGUF and some that were reported elsewhere."""
    own = speed(
        prompt=[rate(1000, 412.318, 3.51, 712_000_000), rate(5000, 388.01, 12.4, 1_310_000_000)],
        generation=[rate(500, 21.4466, 0.231, 655_000_000)],
    )
    beside = gguf(
        prompt=[rate(512, 14020.5, 151.2), rate(1000, 12441.903, 81.4)], generation=[rate(500, 389.564326, 1.042169)]
    )
    reported = speed(
        "MLX 4 bit by someone",
        [rate(1000, 224.094)],
        settings={
            "harness": "mlx_lm.benchmark",
            "build": "0.30.7",
            "backend": "metal",
            "reported": "https://example.org/4",
        },
        source="reported",
        machine={},
    )
    llama = {"harness": "llama-perplexity", "build": "7822", "text": "wikitext-2-raw, test", "reported": None}
    llama |= {"command": "llama-perplexity -m x.gguf -f wiki.test.raw", "backend": "metal"}
    perplexities = (
        theirs("MLX 4 bit by someone", 13.4127, 0.0613),
        theirs("MLX 8 bit by someone", 12.7002, 0.0588),
        theirs("quantized", 12.9874, settings={"reported": None}, source="measured", machine={"chip": "Apple M1"}),
        theirs("SmolLM2-135M-Instruct-Q4_K_M.gguf", 21.0312, 0.1606, settings=llama, source="measured"),
    )
    memory = (ContextMemory(4096, 204_000_000), ContextMemory(8192, 298_000_000))
    return demo.with_evidence(reported, beside, *perplexities, *demo.evidence.measurements, own).with_lock(
        memory=memory
    )
