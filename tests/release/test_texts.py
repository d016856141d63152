from __future__ import annotations

import pytest

from pipeline.release.texts import text_of


def read(content, field=None):
    problems = []
    return text_of(content, "evaluation", field, problems), [str(problem).splitlines()[0] for problem in problems]


def test_a_file_is_one_text_with_plain_line_ends():
    assert read("One.\r\nZwölf.\rThree.\n".encode()) == ("One.\nZwölf.\nThree.\n", [])


def test_the_texts_of_all_lines_are_joined_by_an_empty_line():
    lines = b'{"text": "One.", "id": 1}\n\n{"text": "Two\\nlines."}\r\n{"id": 3, "text": "Three."}'
    assert read(lines, "text") == ("One.\n\nTwo\nlines.\n\nThree.", [])


def test_another_key_holds_another_text():
    assert read(b'{"text": "One.", "prose": "Two."}\n', "prose") == ("Two.", [])


@pytest.mark.parametrize(
    ("content", "field", "told"),
    [
        (b"One.\nTw\xffo.\n", None, "evaluation:2:3: byte 0xff is not UTF-8; save the file as UTF-8"),
        (b" \n", None, "evaluation:1:1: holds no text"),
        (b"\n\n", "text", "evaluation:1:1: holds no line"),
        (
            b'{"text": "One."}\n{"text": "Two}\n',
            "text",
            "evaluation:2:10: is not JSON: Unterminated string starting at",
        ),
        (b'["One."]\n', "text", "evaluation:1:1: must be a JSON object with the key `text`, not a list"),
        (
            b'\n{"prose": "One.", "id": 2}\n',
            "text",
            "evaluation:2:1: has no key `text`, but `prose`, `id`; name another with `evaluate.text.field`",
        ),
        (b'{"text": 5}\n', "text", "evaluation:1:1: its `text` must be text, not 5"),
    ],
)
def test_a_broken_file_is_told_with_the_place(content, field, told):
    assert read(content, field)[1] == [told]


def test_of_many_broken_lines_a_few_are_told():
    told = read(b"nonsense\n" * 40, "text")[1]
    assert len(told) == 6
    assert told[-1] == "evaluation:6:1: and 35 more lines are wrong, from here on"
