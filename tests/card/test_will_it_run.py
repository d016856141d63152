from __future__ import annotations

import pytest

from pipeline.card import will_it_run
from pipeline.lock import ContextMemory
from pipeline.release.macs import GIB


def needing(demo, *gigabytes):
    rows = tuple(ContextMemory(1024 << index, int(size * GIB)) for index, size in enumerate(gigabytes))
    return demo.with_lock(memory=rows)


@pytest.mark.parametrize(
    ("needs", "macs", "answers", "words"),
    [
        ((5.2, 5.3), (8,), [["**fits**"], ["**fits**"]], "runs on a Mac with 8 GB of memory, up to 2,048 tokens read"),
        (
            (10, 11),
            (8, 16, 24),
            [["no", "**fits**", "**fits**"], ["no", "raise the limit", "**fits**"]],
            "runs on a Mac with 24 GB of memory, up to 2,048 tokens read",
        ),
        (
            (350, 400),
            (256, 512),
            [["no", "**fits**"], ["no", "raise the limit"]],
            "runs on a Mac with 512 GB of memory when its limit is raised, up to 2,048 tokens read",
        ),
        ((400, 500), (256, 512), [["no", "raise the limit"], ["no", "no"]], "runs on a Mac only with a short context"),
        (
            (5, 50, 90),
            (8, 16, 24, 128),
            [["**fits**"] * 4, ["no", "no", "no", "**fits**"], ["no", "no", "no", "**fits**"]],
            "runs on a Mac with 128 GB of memory, up to 4,096 tokens read",
        ),
        ((600, 700), (), [[], []], "is larger than the memory of any Mac"),
    ],
)
def test_every_length_is_answered_for_the_macs_where_it_matters(demo, needs, macs, answers, words):
    found = will_it_run.read(needing(demo, *needs).lock)
    assert found.macs == tuple(mac * GIB for mac in macs)
    assert [list(row[2:]) for row in found.rows] == answers
    assert found.verdict == words
    assert f"; {words}." in needing(demo, *needs).card()


def test_the_limit_to_raise_is_printed_only_where_it_helps(demo):
    assert "sudo sysctl iogpu.wired_limit_mb=471859   # a Mac with 512 GB" in needing(demo, 400).card()
    assert "sysctl" not in needing(demo, 350).card()
    assert "No Mac has that much memory" in needing(demo, 600).card()


def test_what_is_not_known_is_not_answered(demo):
    assert will_it_run.read(demo.lock).verdict == ""
    assert "Will it run" not in demo.card()


def test_what_it_was_planned_for_is_said(demo):
    fitting = needing(demo, 350).with_release(
        fit={"memory": "512 GiB", "usable": "90 %", "context": "128k", "beside": "60 GB"}
    )
    card = fitting.card()
    assert "with 131,072 tokens read, beside 60.0 GB of other models and programs, its limit raised to 90 %:" in card
    assert "sudo sysctl iogpu.wired_limit_mb=471859\n" in card
    assert "sysctl" not in needing(demo, 350).with_release(fit={"memory": "512 GiB", "context": "128k"}).card()


def test_smaller_macs_are_told_that_they_are_too_small(demo):
    found = will_it_run.read(needing(demo, 350).lock)
    assert found.headings[2:] == ("Mac with 256 GB or less", "Mac with 512 GB")
