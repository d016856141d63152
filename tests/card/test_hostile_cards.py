"""Whatever a base repository, a release file or a model writes: the card keeps its shape and stays harmless."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from pipeline.card.front_matter import parse
from pipeline.lock import LockedRule, LockedWaiver, TensorClass
from pipeline.manifest import File, Manifest

RENDERER = MarkdownIt("gfm-like", {"linkify": False, "html": True})

HOSTILE = [
    "{{ 7*7 }}{% for x in ().__class__.__mro__ %}{{ x }}{% endfor %}{# gone #}",
    "x\n---\nlicense: mit\nbase_model: evil/model\n---\n# Owned",
    "<script>alert(1)</script><img src=x onerror=alert(1)><!-- ",
    "</details><h1>Owned</h1>",
    "| a | b |\n|---|---|\n| c | d |",
    "```\n# Owned\n```",
    "[click](javascript:alert(1)) ![p](https://evil.example/p.png) <https://evil.example>",
    "gnp\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT MARK}\N{ZERO WIDTH SPACE}.exe",
    "a: b # c\n- d\n&anchor *alias !!python/object:os.system",
    "# Owned",
    "1e3",
    "no",
    "x" * 1_000_000,
]


def poisoned(demo, text):
    """A release with `text` in every place that holds words of others."""
    line = " ".join(text.split())
    asked = demo.release
    asked = asked.model_copy(
        update={
            "title": line,
            "summary": text,
            "base": asked.base.model_copy(update={"note": text}),
            "evaluate": asked.evaluate.model_copy(
                update={"text": asked.evaluate.text.model_copy(update={"attribution": text, "file": f"{line}.txt"})}
            ),
        }
    )
    rules = (LockedRule(text, text, text, 1, text),)
    classes = (TensorClass(text, 10, text, 10), TensorClass("embed_tokens", 10, "8 bit g64", 10))
    path = line.replace("\\", "").replace("/", "").replace(":", "").strip(".") or "x"
    lock = replace(
        demo.lock,
        rules=rules,
        classes=classes,
        model=Manifest((File(path, 10, "a" * 64), File("config.json", 10, "b" * 64))),
        tools={"mlx": text, text: "1"},
        waived=(LockedWaiver(text, text, text, text),),
    )
    measurements = (
        demo.perplexity("base", 12.5, 0.4, machine={text: text}),
        demo.perplexity("quantized", 13.0, 0.4, machine={text: text}),
        demo.generation(demo.answer(text, text), demo.answer(text, text, [text])),
        demo.divergence(),
        demo.weight_error(**{text: 0.1}),
        *imported(demo, line, text),
    )
    rule = replace(demo.recipe.rules[0], match=text, why=text)
    recipe = replace(demo.recipe, summary=text, rules=(rule, *demo.recipe.rules[1:]), otherwise_why=text)
    siblings = ((text, 10, (demo.perplexity("quantized", 12.9, 0.4), *imported(demo, "quantized", text))),)
    made = replace(demo, release=asked, recipe=recipe, lock=lock, notes=f"Words.\n\n{text}\n\n- {text}")
    return made.with_siblings(*siblings).with_evidence(*measurements)


def imported(demo, line, text):
    """The speed of this model and of another, and perplexities of others, in two ways that tell only words apart."""
    words = {"command": text, "build": text, "backend": text, "reported": text, "harness": text}
    rows = [demo.rate(1000, 20.5, 0.5)]
    return (
        demo.speed(prompt=rows, machine={text: text}),
        demo.gguf(line, rows, settings=words, machine={text: text}, source="reported"),
        demo.theirs(line, 12.5, 0.1, settings={**words, "text": text}, machine={text: text}),
        demo.theirs("Another", 12.0, 0.1, settings={**words, "text": text, "reported": "https://example.org"}),
        demo.theirs(line, 12.5, settings={**words, "text": "Another text."}),
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_change_no_structure(measured, text):
    card = poisoned(measured, text).card()
    fields, body = parse(card)
    clean_fields, clean_body = parse(clean_card(measured))
    assert list(fields) == list(clean_fields)
    assert {k: fields[k] for k in ("license", "base_model", "tags")} == {
        k: clean_fields[k] for k in ("license", "base_model", "tags")
    }
    rendered, clean = RENDERER.render(body), RENDERER.render(clean_body)
    assert outline(rendered) == outline(clean)
    assert elements(rendered) <= elements(clean) | {"br"}
    assert all(target.startswith("https://") for target in re.findall(r'href="([^"]*)"', rendered))
    assert not set("\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT MARK}\N{ZERO WIDTH SPACE}") & set(card)
    assert len(card) < 250_000


def test_template_code_is_shown_and_not_run(demo):
    rendered = html.unescape(RENDERER.render(parse(poisoned(demo, HOSTILE[0]).card())[1]))
    assert f"<h1>{HOSTILE[0]}</h1>" in rendered


def test_tags_of_others_are_shown_and_not_obeyed(demo):
    rendered = RENDERER.render(parse(poisoned(demo, HOSTILE[2]).card())[1])
    assert f"<h1>{html.escape(HOSTILE[2].strip())}</h1>" in rendered


def clean_card(demo):
    return poisoned(demo, "A word.").card()


def outline(rendered):
    """Section headings, and how many tables, lists and code blocks there are under them."""
    headings = re.findall(r"<h2>(.*?)</h2>", rendered)
    counts = {tag: rendered.count(f"<{tag}>") for tag in ("h1", "h3", "table", "pre", "blockquote", "details", "hr")}
    return headings, counts


def elements(rendered):
    return set(re.findall(r"</?([a-z0-9]+)", rendered))
