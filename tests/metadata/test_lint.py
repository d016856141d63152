from __future__ import annotations

import math

import pytest

from pipeline.metadata.lint import lint

CARD = {
    "base_model": "moonshotai/Kimi-K2.5",
    "base_model_relation": "quantized",
    "library_name": "mlx",
    "pipeline_tag": "text-generation",
    "language": ["en"],
    "license": "other",
    "license_name": "modified-mit",
    "license_link": "LICENSE",
    "tags": ["mlx", "mixed-precision"],
    "quantized_by": "demo",
    "model-index": [
        {
            "name": "Kimi-K2.5-MLX-2.5bit",
            "results": [
                {
                    "task": {"type": "text-generation"},
                    "dataset": {"type": "demo/text", "name": "Größe, 数据", "args": {"window": 512}},
                    "metrics": [{"type": "perplexity", "value": 3.777}],
                }
            ],
        }
    ],
}
[RESULT] = CARD["model-index"][0]["results"]
FILES = {"LICENSE", "config.json"}


def test_a_whole_card_is_clean():
    assert lint(CARD, FILES) == []
    assert lint(CARD | {"license_link": "https://example.org/license"}, set()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"license": None, "license_name": None, "license_link": None}, '"license" is missing'),
        ({"base_model": None}, '"base_model" is missing'),
        ({"library_name": "MLX"}, '"library_name" with value "MLX" is no library that the Hub knows'),
        ({"pipeline_tag": "text-gen"}, '"pipeline_tag" with value "text-gen" is not in the official list: '),
        (
            {"base_model_relation": "quantised"},
            '"base_model_relation" must be one of [adapter, finetune, ',
        ),
        ({"licence": "mit"}, '"licence" is no key that the Hub knows'),
        ({"tags": ["mlx", "mlx"]}, '"tags" holds "mlx" more than once'),
        ({"language": ["en", "en"]}, '"language" holds "en" more than once'),
        ({"license": "mit", "license_link": None}, '"license_name" needs `license: other`'),
        ({"license_name": None}, '"license_name" is missing, which `license: other` needs'),
        ({"license_name": "Modified MIT"}, '"license_name" must be a short name in lower case'),
        ({"license_link": None}, '"license_link" is missing, which `license: other` needs'),
        (
            {"license_link": "LICENSE.md"},
            '"license_link" names "LICENSE.md", which is not among the files',
        ),
        (
            {"license_link": "http://example.org"},
            '"license_link" must be a file of the model or an address that ',
        ),
        ({"license_link": "../LICENSE"}, '"license_link" must be a file of the model or an address that '),
        ({"quantized_by": "demo\N{RIGHT-TO-LEFT OVERRIDE}"}, '"quantized_by" holds the invisible character U+202E'),
        ({"quantized_by": "a\nb"}, '"quantized_by" holds the invisible character U+000A'),
        ({"quantized_by": "x" * 5000}, '"quantized_by" is longer than 4096 characters'),
        ({"metrics": [math.nan]}, '"metrics[0]" must be a finite number'),
        (
            {"model-index": [{"name": "a", "results": [RESULT | {"dataset": {"type": "a/b/c.txt", "name": "a"}}]}]},
            '"model-index[0].results[0].dataset.type" must look like the id of a data set on the Hub',
        ),
        ({"language": ["xx"]}, '"language[0]" with value "xx" is not valid.'),
    ],
)
def test_a_mistake_is_named_by_its_key(changes, words):
    told = [str(finding) for finding in lint(CARD | changes, FILES)]
    assert any(one.startswith(words) for one in told), told
    assert len(told) == (2 if "metrics" in changes else 1)


def test_a_hostile_key_is_shown_without_doing_anything():
    [told] = lint(CARD | {"model-index": [{"name": "a", "results": [], "x\N{RIGHT-TO-LEFT OVERRIDE}": 1}]}, FILES)
    assert str(told).isascii()
