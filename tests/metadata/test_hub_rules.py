from __future__ import annotations

import pytest

from pipeline.metadata.hub_rules import doubtful, refused

RESULT = {
    "task": {"type": "text-generation"},
    "dataset": {"type": "demo/text", "name": "Text", "args": {"anything": 1}},
    "metrics": [{"type": "perplexity", "value": 12.5, "args": {"anything": 1}}],
}
CARD = {
    "license": "other",
    "license_name": "modified-mit",
    "license_link": "LICENSE",
    "language": ["en", "zh"],
    "base_model": ["demo/a", "demo/b"],
    "base_model_relation": "merge",
    "library_name": "mlx",
    "pipeline_tag": "text-generation",
    "datasets": ["imdb", "demo/text"],
    "tags": ["mlx"],
    "widget": [{"text": "Hello"}],
    "anything_else": {"is": "accepted"},
    "model-index": [{"name": "a", "results": [RESULT]}],
}


def changed(**changes):
    return {"model-index": [{"name": "a", "results": [RESULT | changes]}]}


def test_what_the_specification_shows_is_taken():
    assert refused(CARD) == []
    assert refused({}) == []
    assert refused(dict.fromkeys(CARD)) == [], "a key without a value is no key"
    assert refused({"license": ["mit", "apache-2.0"], "language": "en", "base_model": "gpt2"}) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"license": "gpl-2.0-or-later"}, '"license" must be one of [afl-3.0, agpl-3.0, apache-2.0, '),
        ({"license": ["mit", "x"]}, '"license[1]" must be one of ['),
        ({"license": {"mit": 1}}, '"license" must be one of ['),
        ({"language": ["en", "pt_pt"]}, '"language[1]" with value "pt_pt" is not valid. It must be an ISO 639-1, '),
        ({"language": False}, '"language" must be a string'),
        ({"base_model": "/workspace/x"}, '"base_model" with value "/workspace/x" is not valid. Use a model id from'),
        ({"base_model": "Kokoro 82M"}, '"base_model" with value "Kokoro 82M" is not valid. Use a model id from'),
        ({"new_version": "a--b"}, '"new_version" with value "a--b" is not valid. Use a model id from'),
        ({"datasets": ["x y"]}, '"datasets[0]" with value "x y" is not valid.'),
        ({"tags": "mlx"}, '"tags" must be an array'),
        ({"tags": ["mlx", 8]}, '"tags[1]" must be a string'),
        ({"widget": {"text": "x"}}, '"widget" must be an array'),
        ({"library_name": 8}, '"library_name" must be a string'),
        ({"license_name": ""}, '"license_name" is not allowed to be empty'),
        ({"pipeline_tag": ["text-generation"]}, '"pipeline_tag" must be a string'),
        ({"model-index": "not correct"}, '"model-index" must be an array'),
        ({"model-index": ["x"]}, '"model-index[0]" must be of type object'),
        ({"model-index": [{"results": []}]}, '"model-index[0].name" is required'),
        ({"model-index": [{"name": "a"}]}, '"model-index[0].results" is required'),
        (changed(task=None), '"model-index[0].results[0].task" is required'),
        (changed(task={"type": 8}), '"model-index[0].results[0].task.type" must be a string'),
        (changed(dataset={"type": "a"}), '"model-index[0].results[0].dataset.name" is required'),
        (changed(dataset="a"), '"model-index[0].results[0].dataset" must be of type object'),
        (changed(dataset={"type": "a", "name": "a", "config": None, "split": 1}), '.dataset.split" must be a string'),
        (changed(metrics=None), '"model-index[0].results[0].metrics" is required'),
        (changed(metrics={}), '"model-index[0].results[0].metrics" must be an array'),
        (changed(metrics=[{"type": "x"}]), '"model-index[0].results[0].metrics[0].value" is required'),
        (changed(metrics=[{"type": "x", "value": 1, "config": {}}]), '.metrics[0].config" must be a string'),
        (changed(source={"name": "x"}), '"model-index[0].results[0].source.url" is required'),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_by_its_path(fields, words):
    told = [str(finding) for finding in refused(CARD | fields)]
    assert len(told) == 1, told
    assert words in told[0]


def test_every_problem_is_told_at_once():
    assert len(refused({"license": "x", "language": "x", "tags": "x", "model-index": "x"})) == 4


def test_a_task_that_the_hub_does_not_know_is_a_warning():
    assert doubtful(CARD) == doubtful({}) == doubtful({"pipeline_tag": 8}) == []
    [told] = doubtful({"pipeline_tag": "text-gen"})
    assert str(told).startswith('"pipeline_tag" with value "text-gen" is not in the official list: any-to-any, ')
