from __future__ import annotations

import pytest

from pipeline.hub.said import one_line


@pytest.mark.parametrize(
    "secret",
    [
        "the token hf_AbCdEfGh1234 is wrong",
        "Authorization: Bearer AbCdEfGh1234",
        "GET https://s3.example.com/blob?X-Amz-Signature=AbCdEfGh1234&X-Amz-Expires=9",
        "PUT http://127.0.0.1:8600/signed/AbCdEfGh1234/objects/x",
    ],
)
def test_what_others_say_tells_no_secret(secret):
    assert "AbCdEfGh1234" not in one_line(secret)
    assert one_line(secret).split()[0] == secret.split()[0]


def test_one_line_is_enough():
    assert one_line("\n first \nsecond") == "first"
    assert one_line(TimeoutError()) == "TimeoutError"
    assert len(one_line("x" * 1000)) == 300
