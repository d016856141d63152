"""How far, how fast, how long: the numbers behind the bars, and the bars at three widths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console.bars import bars
from pipeline.console.lanes import lanes_to_run
from pipeline.console.words import age, amount, clock, duration, part, rate
from pipeline.engine.plan import plan
from pipeline.engine.task import Lane
from pipeline.engine.workspace import Workspace

WIDTHS = (60, 80, 120)
DOWNLOAD = Lane("download", "", 2)
VALIDATE = Lane("validate", "", unit="tokens")


def lane_of(decisions):
    (lane,) = lanes_to_run(decisions).values()
    return lane, [d.task for d in decisions]


def test_the_rate_is_of_the_last_seconds_of_work_and_knows_neither_reuse_nor_waiting(only):
    lane, (first, second, third) = lane_of(only(DOWNLOAD, 10_000, 10_000, 10_000))
    lane.start(first, 0)
    for second_ in range(1, 101):
        lane.advance(first, 10 if second_ <= 50 else 100, second_)
    assert lane.rate.per_second(100) == pytest.approx(100, rel=0.1)
    lane.finish(first, 100, reused=False)
    lane.finish(second, 100, reused=True)
    lane.start(third, 4000)
    lane.advance(third, 100, 4001)
    assert lane.rate.per_second(4001) == pytest.approx(100, rel=0.1)
    assert lane.left(4001) == pytest.approx(99, rel=0.1)


def test_what_an_earlier_process_did_is_done_and_says_nothing_about_the_rate(only):
    lane, (task,) = lane_of(only(DOWNLOAD, 10_000))
    lane.start(task, 0)
    lane.advance(task, 8000, 0.1, resumed=True)
    for second in range(1, 11):
        lane.advance(task, 100, second)
    assert lane.done == 9000
    assert lane.rate.per_second(10) == pytest.approx(100)
    assert lane.left(10) == pytest.approx(10)
    lane.finish(task, 10, reused=False)
    assert lane.average == pytest.approx(100)


def test_a_stalled_lane_slows_down_to_nothing(only):
    lane, (task,) = lane_of(only(DOWNLOAD, 10_000))
    lane.start(task, 0)
    for second in range(1, 11):
        lane.advance(task, 100, second)
    assert lane.rate.per_second(10) == pytest.approx(100)
    assert lane.rate.per_second(110) < 10


def test_a_task_that_reports_once_in_a_while_has_a_rate(only):
    lane, (task,) = lane_of(only(VALIDATE, 10_000))
    lane.start(task, 0)
    for now in (60, 120, 180):
        lane.advance(task, 600, now)
    assert lane.rate.per_second(190) == pytest.approx(600 * 2 / 130, rel=0.5)


@pytest.mark.parametrize("width", WIDTHS)
def test_bars_of_a_run_in_full_swing(tmp_path, width, release, check_golden):
    lanes = lanes_to_run(plan(release(shards=3), Workspace(tmp_path)))
    tasks = {task.name: task for task in release(shards=3)}
    for name, task in tasks.items():
        if task.lane.name == "download":
            lanes["download"].start(task, 0)
            lanes["download"].advance(task, task.work, 10)
            lanes["download"].finish(task, 12, reused=name.endswith("vocab.json"))
    for number in (1, 2):
        task = tasks[f"quantize/model-0000{number}-of-00003.safetensors"]
        lanes["quantize"].start(task, 10)
        lanes["quantize"].advance(task, 30_000_000, 14)
    broken = tasks["upload/model-00001-of-00003.safetensors"]
    lanes["upload"].start(broken, 12)
    lanes["upload"].fail(broken, 14, stopped=False)
    lines = bars(lanes.values(), width, 15)
    check_golden(f"bars-{width}", "".join(f"{line.plain}\n" for line in lines))


EVENTS = st.tuples(
    st.integers(0, 3), st.sampled_from(["advance", "finish", "reuse", "fail", "stop"]), st.integers(0, 50)
)


@given(
    work=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    size=st.sampled_from([(1, "windows"), (999, "B"), (10**11, "B")]),
    events=st.lists(EVENTS, max_size=20),
    width=st.integers(20, 200),
)
def test_bars_fit_and_never_pass_a_hundred(only, work, size, events, width):
    scale, unit = size
    lane, tasks = lane_of(only(Lane("quantize", "", unit=unit), *(w * scale for w in work)))
    for now, (which, event, got) in enumerate(events):
        if not tasks:
            break
        task = tasks[which % len(tasks)]
        if task.name not in lane.running:
            lane.start(task, now)
        if event == "advance":
            lane.advance(task, got * scale, now + 0.5)
        else:
            tasks.remove(task)
            if event in {"finish", "reuse"}:
                lane.finish(task, now + 0.5, reused=event == "reuse")
            else:
                lane.fail(task, now + 0.5, stopped=event == "stop")
        assert 0 <= lane.fraction <= 1
        assert lane.done <= lane.total
        assert all(line.cell_len <= width for line in bars([lane], width, now + 0.5))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (amount(61_234_567, "B"), "61.2 MB"),
        (amount(8192, "tokens"), "8,192 tokens"),
        (part(61_234_567, 135_000_000, "B"), "61.2 of 135 MB"),
        (part(862_000, 135_000_000, "B"), "862 kB of 135 MB"),
        (part(0, 135_000_000, "B"), "0 of 135 MB"),
        (part(412, 8192, "tokens"), "412 of 8,192"),
        (rate(8_100_000.4, "B"), "8.10 MB/s"),
        (rate(412.3, "tokens"), "412 tokens/s"),
        (rate(1.26, "windows"), "1.3 windows/s"),
        (clock(9.4), "0:09"),
        (clock(200), "3:20"),
        (clock(3900), "1:05:00"),
        (duration(0.42), "0.4 s"),
        (duration(9.96), "10 s"),
        (duration(200), "3 min 20 s"),
        (duration(3599.7), "1 h"),
        (duration(3900), "1 h 5 min"),
        (duration(2 * 86400 + 3 * 3600), "2 d 3 h"),
        (age(59), "just now"),
        (age(3 * 3600 + 5), "3 h ago"),
    ],
)
def test_amounts_and_times_are_short(words, expected):
    assert words == expected
