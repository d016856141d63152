from __future__ import annotations

from dataclasses import replace

from pipeline.card.front_matter import parse
from pipeline.metadata.base_card import BaseCard

ORDER = [
    "base_model",
    "base_model_relation",
    "library_name",
    "pipeline_tag",
    "language",
    "license",
    "license_name",
    "license_link",
    "tags",
    "quantized_by",
    "model-index",
]


def fields_of(case):
    return parse(case.card())[0]


def with_base_card(case, card, **release):
    return case.with_release(**release).with_lock(base=replace(case.lock.base, card=card))


def test_every_field_is_there_in_a_fixed_order(large, demo):
    fields = fields_of(large.with_lock(base=replace(large.lock.base, card=BaseCard(language=("en", "zh")))))
    assert list(fields) == ORDER
    assert fields["language"] == ["en", "zh"]
    assert fields["base_model"] == "moonshotai/Kimi-K2.5"
    assert (fields["base_model_relation"], fields["library_name"]) == ("quantized", "mlx")
    assert fields["quantized_by"] == "demo"
    without = [key for key in ORDER if key not in {"license_name", "license_link"}]
    assert list(fields_of(demo)) == without


def test_language_is_that_of_the_base_unless_the_release_says_another(demo):
    card = BaseCard("apache-2.0", language=("en", "zh"))
    assert fields_of(with_base_card(demo, card, language=()))["language"] == ["en", "zh"]
    assert fields_of(with_base_card(demo, card, language=("en",)))["language"] == ["en"]
    assert "language" not in fields_of(with_base_card(demo, None, language=()))
    assert "language" not in fields_of(with_base_card(demo, BaseCard(), language=()))


def test_the_task_is_that_of_the_lock(demo):
    assert fields_of(demo)["pipeline_tag"] == "text-generation"
    assert fields_of(demo.with_lock(pipeline_tag="image-text-to-text"))["pipeline_tag"] == "image-text-to-text"


def test_without_a_figure_there_is_no_model_index(demo):
    assert "model-index" not in fields_of(demo.with_evidence())


def test_one_precision_is_not_called_mixed(demo):
    uniform = demo.with_lock(classes=tuple(k for k in demo.lock.classes if k.precision in {"8 bit g64", "bfloat16"}))
    assert fields_of(uniform)["tags"] == ["mlx"]
