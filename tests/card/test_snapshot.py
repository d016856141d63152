"""What is read at another place may be old, broken or meant to harm: it is said, and the rest is compared."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from pipeline.card.diff import diff
from pipeline.card.snapshot import Snapshot, read
from pipeline.evidence import Evidence, Measurement
from pipeline.lock import ContextMemory


def files(case, **others):
    made = {
        "README.md": case.card(),
        "evidence.json": case.evidence.to_json(),
        "release.lock.json": case.lock.to_json(),
    }
    return {name: text.encode() for name, text in {**made, **others}.items() if text is not None}


def test_what_was_written_is_read(measured):
    found = read("here", files(measured), whole=True)
    assert (found.card, found.evidence, found.remarks) == (measured.card(), measured.evidence, ())
    assert found.lock.bytes == measured.lock.bytes


def test_imported_figures_stand_beside_measured_ones(measured):
    imported = Evidence((measured.theirs("other", 12.0),))
    found = read("here", files(measured, **{"imported.json": imported.to_json()}), whole=True)
    assert len(found.evidence.measurements) == len(measured.evidence.measurements) + 1
    planned = read("here", {"imported.json": imported.to_json().encode(), "evidence.json": b"{"}, whole=True)
    assert planned.evidence == imported, "without a lock nothing was measured"


def test_what_is_not_there_is_unknown_unless_it_would_be_there():
    assert read("a file", {"README.md": b"x"}, whole=False).evidence is None
    assert read("a folder", {"README.md": b"x"}, whole=True).evidence == Evidence()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"measurements": [1]}',
        '{"measurements": {"a": 1}}',
        json.dumps({"measurements": [dict.fromkeys(("measure", "subject", "weights", "measured_at"), "x")]}),
        json.dumps({"measurements": [{field.name: [] for field in fields(Measurement)}]}),
    ],
)  # fmt: skip
def test_evidence_that_is_none_is_a_remark(text, measured):
    found = read("there", files(measured, **{"evidence.json": text}), whole=True)
    assert found.evidence is None
    assert found.remarks[0].startswith("evidence.json of there does not hold evidence")
    new = Snapshot("now", measured.card(), measured.evidence, measured.lock)
    assert any("figures are not compared" in remark for remark in diff("demo", found, new).remarks)


def test_a_lock_of_useless_values_ends_no_diff(measured):
    lock = replace(measured.lock, memory=(ContextMemory("many", 1),), bytes="x")
    old = Snapshot("there", measured.card(), measured.evidence, lock)
    found = diff("demo", old, Snapshot("now", measured.card(), measured.evidence, measured.lock))
    assert found.remarks == ("the lock in there is broken: sizes and the recipe are not compared",)
