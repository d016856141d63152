"""`release.lock.json` as it is committed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.errors import PipelineError
from pipeline.lock import (
    ContextMemory,
    Lock,
    LockedBase,
    LockedInputs,
    LockedRecipe,
    LockedRule,
    LockedTarget,
    LockedWaiver,
    TensorClass,
)
from pipeline.manifest import File, Manifest
from pipeline.metadata.base_card import BaseCard

LOCK = Lock(
    base=LockedBase("someone/model", "c" * 40, "d" * 64),
    recipe=LockedRecipe("mixed", 1, "e" * 64, "error"),
    model=Manifest((File("model.safetensors", 10, "a" * 64, "b" * 40), File("config.json", 3, "", "b" * 40))),
    parameters=134_515_008,
    bytes=106_000_000,
    bits_per_weight=6.25,
    classes=(TensorClass("mlp.up_proj", 100, "5 bit g64", 68), TensorClass("norm", 10, "bfloat16", 20)),
    rules=(LockedRule(r"mlp\.", "", "5 bit g64", 90, "Größe zählt."),),
    tools={"mlx": "0.32.4", "mlx-lm": "0.32.2"},
    target=LockedTarget("someone/model-mlx", "v1", None),
)


def test_a_lock_reads_back_as_it_was_written():
    published = replace(LOCK, target=replace(LOCK.target, commit="f" * 40))
    measured = replace(LOCK, memory=(ContextMemory(4096, 200_000_000),))
    for lock in (LOCK, published, measured):
        assert Lock.from_json(lock.to_json()) == lock
        assert Lock.from_json(lock.to_json()).to_json() == lock.to_json()


def test_what_the_base_says_of_itself_is_kept_and_a_lock_that_is_older_than_that_still_reads():
    card = BaseCard("other", "modified-mit", "LICENSE", ("en", "zh"), "image-text-to-text")
    seeing = replace(LOCK, base=replace(LOCK.base, card=card), pipeline_tag="image-text-to-text")
    assert Lock.from_json(seeing.to_json()) == seeing
    silent = replace(LOCK, base=replace(LOCK.base, card=BaseCard()))
    assert Lock.from_json(silent.to_json()) == silent, "a card that says nothing is not one that nobody read"
    row = json.loads(LOCK.to_json())
    assert not {"card", "pipeline_tag"} & (row.keys() | row["base"].keys())


def test_what_the_base_is_made_to_say_in_a_lock_is_held_to_the_rules():
    row = json.loads(LOCK.to_json())
    row["base"]["card"] = {"license": "mit\nbase_model: evil/model"}
    with pytest.raises(PipelineError, match="`license` is not an identifier that the Hub knows"):
        Lock.from_json(json.dumps(row))


def test_a_lock_without_memory_is_that_of_an_older_pipeline():
    assert "memory" not in json.loads(LOCK.to_json()), "else every release that is published would be rendered again"


def test_where_the_inputs_come_from_is_kept_where_it_is_known():
    for inputs in (LockedInputs("a" * 40, dirty=True), LockedInputs(None, dirty=True)):
        committed = replace(LOCK, inputs=inputs)
        assert Lock.from_json(committed.to_json()) == committed
    assert "inputs" not in json.loads(LOCK.to_json())


def test_a_waiver_is_kept_and_a_lock_without_any_is_what_it_always_was():
    waived = replace(LOCK, waived=(LockedWaiver("KL p99", "at most 0.3 nats", "0.31 nats", "Rare names only."),))
    assert Lock.from_json(waived.to_json()) == waived
    assert "waived" not in json.loads(LOCK.to_json())


def test_a_review_sees_one_value_a_line_and_unescaped_words():
    text = LOCK.to_json()
    assert text.endswith("}\n")
    assert '      "why": "Größe zählt."' in text.splitlines()
    assert '  "parameters": 134515008,' in text.splitlines()
    assert list(json.loads(text)) == sorted(json.loads(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a lock file: it is not JSON: Expecting value in line 1"),
        ("[]", "is not a lock file: it is no JSON object"),
        ("{}", "is not a lock file: it has no `schema`"),
        ('{"schema": 2}', "has schema 2, and this pipeline knows 1"),
        ('{"schema": 1, "base": {}, "recipe": {}, "model": [], "target": {}}', "it has no `parameters`, `bytes`, "),
        (LOCK.to_json().replace('"repo"', '"repository"'), "is not a lock file: `base` has no `repo`"),
        (LOCK.to_json().replace('"bits_per_weight"', '"bpw"'), "is not a lock file: it has no `bits_per_weight`"),
        (LOCK.to_json().replace('"parameters": 10,', '"parameter": 10,'), "number 2 of `classes` has no `parameters`"),
        (LOCK.to_json().replace('"size"', '"length"'), "is not a lock file: a file of `model` has no `size`"),
        (LOCK.to_json().replace('"bytes": 106000000', '"bytes": 0'), "is not a lock file: `bytes` is not above 0"),
        (
            LOCK.to_json().replace('"bytes": 106000000', '"bytes": "x"'),
            "is not a lock file: `bytes` is no whole number",
        ),
        (LOCK.to_json().replace("6.25", "NaN"), "is not a lock file: NaN is no finite number"),
        (LOCK.to_json().replace('"parameters": 10,', '"parameters": [],'), "`parameters` of number 2 of `classes` is"),
        (LOCK.to_json().replace('"rules": []', '"rules": ["1"]'), "`rules` of number 1 of `classes` is no list of who"),
        (LOCK.to_json().replace('"0.32.4"', "null"), "`tools` is no JSON object of texts"),
        (
            replace(LOCK, inputs=LockedInputs("5", dirty=False)).to_json().replace('"5"', "5"),
            "is not a lock file: `commit` of `inputs` is no text",
        ),
        ("[" * 100_000, "is not a lock file: it is nested too deeply"),
    ],
)
def test_another_file_is_refused_by_name_with_the_reason_in_words_and_a_hint(text, told):
    with pytest.raises(PipelineError) as raised:
        Lock.from_json(text, "releases/demo/release.lock.json")
    assert str(raised.value).startswith("releases/demo/release.lock.json ")
    assert told in str(raised.value)
    assert raised.value.hint
