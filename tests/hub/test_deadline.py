"""A call that waits for ever is given up; any other is as if it had been called directly."""

from __future__ import annotations

import threading

import pytest

from pipeline.errors import HubError, HubRefused
from pipeline.hub.deadline import within


def test_what_comes_in_time_comes_through():
    assert within(60, "ask", lambda: 42) == 42
    assert within(60, "ask", lambda: None) is None

    def fail():
        raise KeyError("as it is")

    with pytest.raises(KeyError, match="as it is"):
        within(60, "ask", fail)


def test_what_never_comes_is_given_up():
    never = threading.Event()
    with pytest.raises(HubError, match="cannot ask: there was no answer within 0 s") as caught:
        within(0.05, "ask", never.wait)
    never.set()
    assert not isinstance(caught.value, HubRefused)
    assert "same command" in caught.value.hint
