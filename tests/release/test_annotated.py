"""What is written for people is what is read back, whatever the words are."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.release.annotated import write
from pipeline.release.document import read

TRAPS = [
    "no",
    "true",
    "null",
    "~",
    "1e3",
    "012",
    "12:30",
    "- x",
    "a: b",
    "# x",
    "{x}",
    "[x]",
    "'",
    '"',
    "&a",
    "*a",
    "|",
    ">-",
]
PRINTABLE = st.characters(
    min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=("C", "Z"), include_characters=" "
)
TEXTS = st.sampled_from(TRAPS) | st.text(PRINTABLE, min_size=1, max_size=300)
VALUES = TEXTS | st.booleans() | st.integers(0, 10**9) | st.lists(TEXTS, min_size=1, max_size=4)
KEYS = st.dictionaries(st.from_regex(r"[a-z][a-z_]{2,8}", fullmatch=True), VALUES, min_size=1, max_size=4)


def as_read(value):
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


@settings(max_examples=60)
@given(keys=KEYS, inner=KEYS, comment=TEXTS)
def test_every_value_comes_back_as_it_was(tmp_path_factory, keys, inner, comment):
    folder = tmp_path_factory.mktemp("written")
    whole = {**keys, "within": inner}
    comments = dict.fromkeys(["", *keys, *(f"within.{key}" for key in inner)], comment)
    (folder / "release.yaml").write_text(write(whole, comments), encoding="utf-8")
    document = read(folder, "release.yaml")
    assert not document.problems
    assert document.value == as_read(whole)


def test_it_looks_as_a_person_would_write_it():
    keys = {
        "title": "Qwen3 in mixed precision",
        "language": ["en", "de"],
        "base": {"repo": "Qwen/Qwen3", "trust_remote_code": True},
        "fit": {"size": "20 GB", "context": "32k"},
        "prompts": [{"ask": "Why", "expect": r"\bso\b"}, "How: far"],
        "long": "word " * 30 + "end",
    }
    text = write(keys, {"": "First.\nSecond.", "base.repo": "Which model.", "fit": "What it has to fit into."})
    assert text == (
        "# First.\n#\n# Second.\n\n"
        "title: Qwen3 in mixed precision\nlanguage: [en, de]\n\n"
        "base:\n  # Which model.\n  repo: Qwen/Qwen3\n  trust_remote_code: true\n\n"
        "# What it has to fit into.\nfit:\n  size: 20 GB\n  context: 32k\n\n"
        "prompts:\n  - ask: Why\n    expect: '\\bso\\b'\n  - 'How: far'\n"
        f"long: >-\n  {'word ' * 22}word\n  {'word ' * 7}end\n"
    )
