"""What is read of a tokenizer without running it."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import BaseModelError
from pipeline.manifest import Manifest, describe
from pipeline.weights.base import BaseModel
from pipeline.weights.tokenizer import TokenizerFiles, tokenizer_files


def read(folder, config=None):
    files = Manifest(tuple(describe(path, path.name) for path in folder.iterdir()))
    base = BaseModel("someone/model", "0" * 40, files, config or {}, {})
    return tokenizer_files(base, lambda path, start, length: (folder / path).read_bytes()[start : start + length])


@pytest.mark.parametrize(
    ("table", "template", "expected"),
    [
        ({}, "", TokenizerFiles(is_code=False, chats=False, thinks=False)),
        ({"chat_template": "{{ x }}"}, "", TokenizerFiles(is_code=False, chats=True, thinks=False)),
        ({"chat_template": [{"name": "default", "template": "<think>"}]}, "", TokenizerFiles(False, True, True)),
        ({}, "{% if enable_thinking %}", TokenizerFiles(is_code=False, chats=True, thinks=True)),
        ({"auto_map": {"AutoTokenizer": ["x.T", None]}}, "", TokenizerFiles(is_code=True, chats=True, thinks=False)),
        ({"auto_map": "x.T"}, "", TokenizerFiles(is_code=True, chats=True, thinks=False)),
    ],
)
def test_code_and_chat_templates_are_found(table, template, expected, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(table))
    (tmp_path / "chat_template.jinja").write_text(template)
    assert read(tmp_path) == expected


def test_code_may_be_named_in_the_config_of_the_model_and_no_file_need_be_there(tmp_path):
    assert not read(tmp_path).is_code
    assert not read(tmp_path, {"auto_map": {"AutoModel": "x.M"}}).is_code
    assert read(tmp_path, {"auto_map": {"AutoTokenizer": "x.T"}}).is_code


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(BaseModelError, match=r"tokenizer_config\.json is not JSON"):
        read(tmp_path)
