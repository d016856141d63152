"""What may change from one card to the next: a release before and after, by what happened to it."""

from __future__ import annotations

from dataclasses import replace

from pipeline.card.diff import diff
from pipeline.card.render import render
from pipeline.card.snapshot import Snapshot
from pipeline.evidence import Evidence

HOSTILE = (
    "</details><script>alert(1)</script>```\n````\n# Owned\n@somebody see #123 and GH-7 "
    "\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE} [x](javascript:alert(1)) ![p](https://evil.example/p.png) <img src=x>"
)


def compared(old, new):
    """The diff of two cases, as `pipeline card --diff` makes it."""
    sides = [Snapshot(label, case.card(), case.evidence, case.lock) for label, case in (("HEAD", old), ("now", new))]
    return diff("demo", *sides, lambda evidence, lock, _: render(replace(new.inputs, evidence=evidence, lock=lock)))


_MADE = {}


def named(measured, case):
    """The diff of one of the `cases`, made once: cards take a while to render."""
    if case not in _MADE:
        _MADE[case] = compared(*cases(measured)[case])
    return _MADE[case]


def with_values(case, measure, subject="quantized", **values):
    """With other values of one measurement."""
    return with_measurement(case, measure, subject, lambda one: replace(one, values={**one.values, **values}))


def with_measurement(case, measure, subject, change):
    """With one measurement changed, or without it where `change` gives None."""
    found = [
        change(one) if (one.measure, one.subject) == (measure, subject) else one for one in case.evidence.measurements
    ]
    return replace(case, evidence=Evidence(tuple(one for one in found if one)))


def cases(measured):
    """Old and new by name; all but what the name says is as in `measured`."""
    answer = measured.answer("What is the capital of France?", "The capital of France is the city of Paris.")
    down = [
        replace(kind, precision="4 bit g64", bytes=14_929_920) if kind.name == "mlp.down_proj" else kind
        for kind in measured.lock.classes
    ]
    smaller = sum(kind.bytes for kind in down)
    rules = list(measured.lock.rules)
    rules[2:] = [replace(rules[2], match=r"mlp\.(gate|up)_proj$", modules=60)]
    recipe = measured.with_lock(
        classes=tuple(down),
        bytes=smaller,
        bits_per_weight=8 * smaller / measured.lock.parameters,
        rules=(*rules, replace(rules[1], match=r"mlp\.down_proj$", precision="4 bit g64", modules=30)),
        recipe=replace(measured.lock.recipe, version=2, digest="d7" * 32),
    )
    perplexity = {"perplexity": 13.0243, "standard_error": 0.4187}
    fewer = with_values(measured, "perplexity", perplexity=13.9)
    fewer = with_measurement(
        fewer, "perplexity", "quantized", lambda one: replace(one, settings={**one.settings, "windows": 8})
    )
    hostile = measured.with_release(title=" ".join(HOSTILE.split()), summary=HOSTILE)
    speeds = [measured.gguf(HOSTILE, [measured.rate(1000, 1.5)], settings={HOSTILE: HOSTILE})]
    return {
        "nothing": (measured, measured),
        "worse": (measured, with_values(measured, "perplexity", **{**perplexity, "perplexity": 15.2})),
        "better": (measured, with_values(measured, "divergence", kl_mean=0.02)),
        "within-error": (measured, with_values(measured, "perplexity", **{**perplexity, "perplexity": 13.1})),
        "error-unknown": (measured, with_values(measured, "divergence", kl_p99=0.35)),
        "removed": (measured, with_measurement(measured, "divergence", "quantized", lambda _: None)),
        "settings": (measured, fewer),
        "recipe": (measured, recipe),
        "front-matter": (measured, measured.with_release(license="mit", language=("en", "de"))),
        "words": (
            measured,
            with_values(
                measured.with_release(summary="A small chat model that answers at once on every Mac."),
                "generation",
                transcripts=[answer, *measured.evidence.find("generation", "quantized").values["transcripts"][1:]],
            ),
        ),
        "hostile": (measured, replace(hostile, evidence=Evidence((*measured.evidence.measurements, *speeds)))),
    }
