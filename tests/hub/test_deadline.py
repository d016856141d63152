"""A call that waits for ever is given up; any other is as if it had been called directly."""

from __future__ import annotations

import threading
import time

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


def test_signs_of_life_are_waited_for_and_their_end_is_noticed():
    never, beats = threading.Event(), []

    def work():
        for _ in range(5):
            never.wait(0.1)
            beats.append(time.monotonic())
        never.wait()

    with pytest.raises(HubError, match="no answer within"):
        within(3600, "send", work, silence=0.4, heard=lambda: beats[-1] if beats else None)
    never.set()
    assert len(beats) == 5, "it was given up while it was alive"


def test_signs_of_life_do_not_make_it_last_for_ever():
    done = threading.Event()
    with pytest.raises(HubError, match="cannot send"):
        within(0.2, "send", done.wait, silence=3600, heard=time.monotonic)
    done.set()


def test_a_call_that_never_gave_a_sign_of_life_is_given_up_after_the_silence():
    never = threading.Event()
    with pytest.raises(HubError, match="cannot send"):
        within(3600, "send", never.wait, silence=0.1)
    never.set()


def test_a_call_that_can_be_told_to_end_has_ended_before_it_is_reported():
    told, ended = threading.Event(), []

    def work():
        told.wait()
        time.sleep(0.1)
        ended.append(True)

    with pytest.raises(HubError, match="no answer within"):
        within(0.1, "send", work, give_up=told.set)
    assert ended
