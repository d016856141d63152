"""Judging, apart from measuring: what is judged again, what follows from it, and what a miss does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.engine.plan import plan
from pipeline.engine.progress import Silent
from pipeline.engine.run import run
from pipeline.engine.task import Task
from pipeline.errors import ThresholdsMissed
from pipeline.evidence import Evidence, Measurement
from pipeline.release.load import load_release
from pipeline.stages import measuring, render, validate
from pipeline.stages.job import Folders, open_job

HOW = {"text": "d" * 64, "window": 512}
MET = "{perplexity_increase: 10 %, kl_mean: 0.05}"
MISSED = "{perplexity_increase: 10 %, kl_mean: 0.01}"
WAIVER = "\nwaivers: [{threshold: kl_mean, why: Only the small size is wanted.}]"


def measured(measure, subject="quantized", **values):
    machine = {"chip": "a chip"}
    return Measurement(measure, subject, "a" * 64, {"tokens": 4, **values}, HOW, {"mlx": "1"}, machine, "2026-01-01")


EVIDENCE = Evidence(
    (
        measured("perplexity", "base", perplexity=12.0, standard_error=0.3),
        measured("perplexity", perplexity=12.6, standard_error=0.3),
        measured("divergence", kl_mean=0.03, kl_mean_error=0.001, top1=0.94, top1_error=0.002),
        measured("generation", passed=True, problems=[], transcripts=[]),
    )
)


class Demo:
    """The demo with given thresholds; everything but judging and rendering is a stand-in."""

    def __init__(self, repository):
        folders = Folders(repository.root, repository.workspace)
        no_hub = object()
        self.job = open_job(load_release(folders.root, "demo"), folders, no_hub, keep=False)
        self.folder = folders.release("demo")

    def plan(self, thresholds):
        """What would run and why."""
        return {decision.task.name: decision.reason for decision in self._planned(thresholds).to_run}

    def run(self, thresholds):
        """The names of the tasks that did run."""
        ran = Ran()
        run(self._planned(thresholds), self.job.workspace, ran)
        return ran.names

    def _planned(self, thresholds):
        path = self.folder / "release.yaml"
        path.write_text(f"{path.read_text().partition('thresholds:')[0]}thresholds: {thresholds}\n")
        job = replace(self.job, asked=load_release(self.job.folders.root, "demo"))
        real = [t for t in (*validate.tasks(job), *render.tasks(job)) if t.name in {validate.JUDGE, render.TASK}]
        needed = dict.fromkeys(need for task in real for need in task.needs if need != validate.JUDGE)
        return plan([*(Task(name, validate.LANE, lambda _: {}) for name in needed), *real], job.workspace)


class Ran(Silent):
    def __init__(self):
        self.names = set()

    def finished(self, task, record, *, reused):
        if not reused:
            self.names.add(task.name)


@pytest.fixture
def demo(repository, monkeypatch):
    monkeypatch.setattr(measuring, "evidence", lambda _: EVIDENCE)
    return Demo(repository)


def test_another_limit_that_is_met_as_well_is_judged_and_nothing_else_is_done(demo):
    assert {validate.JUDGE, render.TASK} < demo.run(MET)
    other = "{perplexity_increase: 0.9 points, kl_mean: 0.05}"
    planned = demo.plan(other)
    assert planned[validate.JUDGE] == "changed: thresholds.perplexity_increase 10 % -> 0.9 points"
    assert set(planned) == {validate.JUDGE, render.TASK}
    assert demo.run(other) == {validate.JUDGE}
    assert demo.run(other) == set()


def left(folder):
    """Every file of a release but what a person wrote."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "release.yaml"}


def test_a_miss_ends_the_run_and_leaves_what_was_there(demo):
    demo.run(MET)
    before = left(demo.folder)
    with pytest.raises(
        ThresholdsMissed, match=r"demo misses 1 of 3 thresholds: KL mean: 0\.03 nats is more than"
    ) as raised:
        demo.run(MISSED)
    assert raised.value.exit_code == 3
    assert "`waivers`" in raised.value.hint
    assert left(demo.folder) == before


def test_a_waiver_lets_it_through_and_the_card_says_so(demo):
    with pytest.raises(ThresholdsMissed):
        demo.run(MISSED)
    assert demo.run(MISSED + WAIVER) == {validate.JUDGE, render.TASK}
    card, lock = (demo.folder / "README.md").read_text(), json.loads((demo.folder / "release.lock.json").read_text())
    assert "- **KL mean**: asked: at most 0.01 nats; measured: 0.03 nats.\n  Only the small size is wanted." in card
    assert [row["threshold"] for row in lock["waived"]] == ["KL mean"]
    assert demo.run(MISSED + WAIVER.replace("Only", "Just")) == {validate.JUDGE, render.TASK}
    assert "Just the small size is wanted." in (demo.folder / "README.md").read_text()
    assert demo.run(MET) == {validate.JUDGE, render.TASK}
    assert "Just the small size" not in (demo.folder / "README.md").read_text()
    assert "waived" not in (demo.folder / "release.lock.json").read_text()


def test_a_waiver_of_one_threshold_excuses_no_other(demo):
    with pytest.raises(ThresholdsMissed, match="misses 1 of 4 thresholds: top-1 agreement: 94 % is less than 95 %"):
        demo.run(MISSED.replace("}", ", top1: 95 %}") + WAIVER)


def test_size_and_memory_are_those_of_the_layout(demo):
    size = demo.job.layout.nbytes
    demo.run(f"{{size: {size} B, memory: {demo.job.layout.memory(2048)} B at 2k}}")
    with pytest.raises(ThresholdsMissed, match=r"misses 2 of 3 .*size: 1 byte too many; memory: 1 byte too many"):
        demo.run(f"{{size: {size - 1} B, memory: {demo.job.layout.memory(2048) - 1} B at 2k}}")


def test_another_release_is_what_perplexity_is_held_against_and_its_evidence_decides_anew(demo):
    against = "{perplexity_increase: 2 %, against: demo-refused}"
    told = r"releases/demo-refused/evidence\.json is not there: run `pipeline release demo-refused` first"
    with pytest.raises(ThresholdsMissed, match=told):
        demo.run(against)
    evidence = demo.folder.parent / "demo-refused" / "evidence.json"
    better, same = (
        replace(EVIDENCE.measurements[1], values={**EVIDENCE.measurements[1].values, "perplexity": value})
        for value in (12.0, 12.6)
    )
    evidence.write_text(Evidence((better,)).to_json())
    with pytest.raises(ThresholdsMissed, match=r"perplexity increase: \+5 % is more than 2 %"):
        demo.run(against)
    evidence.write_text(Evidence((same,)).to_json())
    assert validate.JUDGE in demo.run(against)
    assert demo.run(against) == set()
    evidence.write_text(Evidence((better,)).to_json())
    assert demo.plan(against)[validate.JUDGE].startswith("changed: earlier.evidence")
    with pytest.raises(ThresholdsMissed):
        demo.run(against)
