"""Bytes are counted once, whatever attempt they come by."""

from __future__ import annotations

import pytest

from pipeline.errors import HubError
from pipeline.hub.progress import Progress


@pytest.fixture
def told():
    return []


@pytest.fixture
def progress(told):
    return Progress(lambda amount, *, resumed=False: told.append((amount, resumed)))


def test_only_what_is_further_than_any_attempt_before_counts(progress, told):
    for amounts in ([30, 20], [40, 30], [10]):
        progress.attempt(lambda tell, amounts=amounts: [tell(amount) for amount in amounts])()
    assert [amount for amount, _ in told] == [30, 20, 0, 20, 0]
    assert progress.arrived == 70


def test_what_was_here_before_has_not_arrived(progress, told):
    def attempt(tell):
        tell(50, resumed=True)
        tell(10)

    progress.attempt(attempt)()
    assert told == [(50, True), (10, False)]
    assert progress.arrived == 10


def test_an_attempt_that_was_given_up_ends_when_it_tells_of_anything(progress, told):
    tells = []
    progress.attempt(tells.append)()
    progress.end()
    with pytest.raises(HubError, match="was given up"):
        tells[0](1)
    assert told == []


def test_only_bytes_of_the_present_attempt_are_a_sign_of_life(progress):
    progress.attempt(lambda tell: tell(0))()
    assert progress.told is None
    progress.attempt(lambda tell: tell(1))()
    assert progress.told is not None
    progress.attempt(lambda _: None)()
    assert progress.told is None
