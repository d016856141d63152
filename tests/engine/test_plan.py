from __future__ import annotations

import os
from graphlib import CycleError

import pytest

from pipeline.engine.plan import changes, plan
from pipeline.engine.progress import Silent
from pipeline.engine.run import run


def reasons(tasks, workspace):
    return {d.task.name: d.reason for d in plan(tasks, workspace)}


def make(tasks, workspace):
    run(plan(tasks, workspace), workspace, Silent())


def test_everything_runs_when_nothing_has_run(kitchen):
    tasks = [kitchen.task("a"), kitchen.task("b", ("a",))]
    assert reasons(tasks, kitchen.workspace) == {"a": "has not run", "b": "has not run"}
    assert not kitchen.workspace.root.exists(), "a plan touches nothing"


def test_nothing_runs_twice(kitchen):
    tasks = [kitchen.task("a"), kitchen.task("b", ("a",))]
    make(tasks, kitchen.workspace)
    assert reasons(tasks, kitchen.workspace) == {"a": "", "b": ""}


def test_a_changed_setting_is_named_with_both_values(kitchen):
    make([kitchen.task("a", text="3 bit"), kitchen.task("b", ("a",))], kitchen.workspace)
    assert reasons([kitchen.task("a", text="4 bit"), kitchen.task("b", ("a",))], kitchen.workspace) == {
        "a": "changed: text 3 bit -> 4 bit",
        "b": "follows a",
    }


def test_a_missing_and_an_altered_file_are_noticed(kitchen):
    tasks = [kitchen.task("a"), kitchen.task("b")]
    make(tasks, kitchen.workspace)
    kitchen.workspace.path("made/a").unlink()
    altered = kitchen.workspace.path("made/b")
    altered.write_text(altered.read_text().upper())
    assert reasons(tasks, kitchen.workspace) == {
        "a": "made/a is missing or altered",
        "b": "made/b is missing or altered",
    }


def test_a_file_that_was_only_touched_is_used_again_and_not_read_twice(kitchen):
    tasks = [kitchen.task("a")]
    make(tasks, kitchen.workspace)
    os.utime(kitchen.workspace.path("made/a"), (1, 1))
    assert reasons(tasks, kitchen.workspace) == {"a": ""}
    make(tasks, kitchen.workspace)
    assert kitchen.workspace.record("a").outputs[0].mtime == 1_000_000_000
    assert kitchen.starts == ["a"]


def test_a_broken_record_counts_as_none(kitchen):
    tasks = [kitchen.task("a")]
    make(tasks, kitchen.workspace)
    (kitchen.workspace.root / "records" / "a.json").write_text('{"task": "a", "sett')
    assert reasons(tasks, kitchen.workspace) == {"a": "has not run"}


def test_a_task_is_rerun_when_what_it_needs_came_out_differently(kitchen):
    make([kitchen.task("a", text="1"), kitchen.task("b", ("a",))], kitchen.workspace)
    make([kitchen.task("a", text="2")], kitchen.workspace)
    assert reasons([kitchen.task("a", text="2"), kitchen.task("b", ("a",))], kitchen.workspace) == {
        "a": "",
        "b": "a came out differently",
    }


def test_a_task_may_look_outside_for_a_reason(kitchen):
    make([kitchen.task("a")], kitchen.workspace)
    outside = kitchen.task("a", check=lambda record: f"the Hub moved on from {record.settings['text'] or 'nothing'}")
    assert reasons([outside], kitchen.workspace) == {"a": "the Hub moved on from nothing"}


def test_a_deleted_base_file_is_fetched_again_only_for_a_task_that_runs(kitchen):
    def tasks(text):
        return [
            kitchen.task("base", transient=True),
            kitchen.task("x", ("base",), text=text),
            kitchen.task("y", ("base",)),
        ]

    make(tasks("1"), kitchen.workspace)
    kitchen.workspace.path("made/base").unlink()
    assert reasons(tasks("1"), kitchen.workspace) == {"base": "", "x": "", "y": ""}
    assert reasons(tasks("2"), kitchen.workspace) == {
        "base": "needed again by x",
        "x": "changed: text 1 -> 2",
        "y": "",
    }


def test_every_task_comes_after_what_it_needs(kitchen):
    tasks = [kitchen.task("c", ("b",)), kitchen.task("b", ("a",)), kitchen.task("a")]
    assert [d.task.name for d in plan(tasks, kitchen.workspace)] == ["a", "b", "c"]


def test_a_circle_and_a_double_name_are_bugs(kitchen):
    with pytest.raises(CycleError):
        plan([kitchen.task("a", ("b",)), kitchen.task("b", ("a",))], kitchen.workspace)
    with pytest.raises(ValueError, match="same name"):
        plan([kitchen.task("a"), kitchen.task("a")], kitchen.workspace)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"bits": 3}, {"bits": 3}, ""),
        ({"bits": 3}, {"bits": 4}, "bits 3 -> 4"),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, "a.c added"),
        ({"a": 1, "b": 2}, {"a": 1}, "b removed"),
        ({"p": ["x", "y"]}, {"p": ["x", "z"]}, "p[1] y -> z"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 0, "b": 0, "c": 0, "d": 0}, "a 1 -> 0, b 2 -> 0 and 2 more"),
        ({"sha": "0" * 40}, {"sha": "1" * 40}, "sha 00000000000…00000000000 -> 11111111111…11111111111"),
    ],
)
def test_changes_in_words(before, after, words):
    assert changes(before, after) == words
