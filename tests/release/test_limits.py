"""Limits with units of their own, as a person writes them."""

from __future__ import annotations

import pytest

from pipeline.release.limits import Increase, MemoryAt


@pytest.mark.parametrize(
    ("text", "increase", "shown"),
    [
        ("10 %", Increase(0.1, "%"), "10 %"),
        ("0.5%", Increase(0.005, "%"), "0.5 %"),
        ("0.3 points", Increase(0.3, "points"), "0.3 points"),
        ("1 point", Increase(1, "points"), "1 point"),
        (" 2 errors ", Increase(2, "errors"), "2 errors"),
        ("1 error", Increase(1, "errors"), "1 error"),
        ("0 %", Increase(0, "%"), "0 %"),
    ],
)
def test_an_increase_says_what_it_is_counted_in(text, increase, shown):
    assert Increase.parse(text) == increase
    assert str(increase) == shown
    assert Increase.parse(shown) == increase


@pytest.mark.parametrize(
    "value", [10, 0.3, "10", "0.3", "-1 %", "2 sigma", "% 10", "1e3 %", "", "1 errors.", True, None]
)
def test_an_increase_without_its_unit_is_refused(value):
    """Ten what? As a share it is a lot less than as an amount."""
    with pytest.raises(
        ValueError, match=r"must be an increase with its unit, such as `10 %`, `0\.3 points` or `2 errors`"
    ):
        Increase.parse(value)


def test_memory_is_asked_for_at_a_context():
    assert MemoryAt.parse("400 GB at 128k") == MemoryAt(400 * 10**9, 131072)
    assert MemoryAt.parse("400 gb at 128K") == MemoryAt(400 * 10**9, 131072)
    assert MemoryAt.parse("512 GiB  at 1000") == MemoryAt(512 << 30, 1000)
    for text in ("400 GB at 128k", "5 MB at 1000", "1 TB at 1M"):
        assert str(MemoryAt.parse(text)) == text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("400 GB", "must be memory at a context, such as `400 GB at 128k`, not '400 GB'"),
        (400, "must be memory at a context"),
        ("400 at 128k", "must be a size with its unit"),
        ("400 GB at length", "must be a number of tokens"),
    ],
)
def test_memory_that_is_half_said_is_refused(value, told):
    with pytest.raises(ValueError, match=told):
        MemoryAt.parse(value)
