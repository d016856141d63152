from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.card.front_matter import parse, write
from pipeline.errors import PipelineError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES), st.text())
def test_what_is_written_is_read_again(fields, body):
    assert parse(write(fields) + body) == (fields, body)


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_no_string_ends_the_front_matter_or_adds_a_line(text):
    lines = write({"a": text, "b": "c"}).split("\n")
    assert lines[0] == lines[3] == "---"
    assert lines[2] == "b: c"
    assert len(lines) == 5


@pytest.mark.parametrize(
    "text",
    ["no", "y", "NULL", "1e3", "0o17", "0x1F", "12:30:00", "2024-01-01", "1_000", ".inf", "~", "", " a", "12e4567"],
)
def test_strings_that_some_reader_takes_for_something_else_are_quoted(text):
    assert write({"a": text}) == f'---\na: "{text}"\n---\n'


def test_ordinary_strings_need_no_quotes():
    assert write({"license": "apache-2.0", "base_model": "demo/SmolLM2"}) == (
        "---\nlicense: apache-2.0\nbase_model: demo/SmolLM2\n---\n"
    )


def test_the_same_list_twice_is_written_twice():
    same = ["mlx"]
    assert "&" not in write({"a": same, "b": same})


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("# A card without one\n", "no front matter"),
        ("---\nlicense: mit\n", "no front matter"),
        ("---\nlicense: mit\nlicense: other\n---\n", "key license stands twice"),
        ("---\na: {b: 1, b: 2}\n---\n", "key b stands twice"),
        ("---\na: [\n---\n", "not valid YAML"),
        ("---\n- a\n---\n", "not a mapping"),
        ("---\n1: a\n---\n", "not a mapping"),
        ("---\n[a]: b\n---\n", "not valid YAML"),
        ("---\n!!python/object/apply:os.getcwd []\n---\n", "not valid YAML"),
    ],
)
def test_what_is_no_front_matter_is_refused(card, words):
    with pytest.raises(PipelineError, match=words):
        parse(card)


def test_a_card_is_read_as_any_reader_of_yaml_does(demo):
    card = demo.card()
    fields, body = parse(card)
    assert fields == yaml.safe_load(card.split("---\n")[1])
    assert body.startswith("\n# SmolLM2 135M Instruct")
