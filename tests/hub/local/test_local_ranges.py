from __future__ import annotations

import pytest

from pipeline.hub.local.ranges import byte_range
from pipeline.hub.local.refusals import NotSatisfiable


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-9,20-29", None),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
    ],
)
def test_a_range_of_a_hundred_bytes(header, expected):
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize(
    "header", ["bytes=100-", "bytes=100-200", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=a-b", "items=0-1", ""]
)
def test_a_range_that_cannot_be_had(header):
    with pytest.raises(NotSatisfiable):
        byte_range(header, 100)
