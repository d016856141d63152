"""Which requests go wrong: by path, by method, by number and by chance."""

from __future__ import annotations

from pipeline.hub.local.faults import Fault, Faults

COMMIT = "/api/models/demo/model/commit/main"


def hits(faults, requests=20, method="POST", path=COMMIT):
    return [number for number in range(1, requests + 1) if faults.due(method, path)]


def test_a_rule_concerns_paths_and_methods():
    faults = Faults([Fault("drop", path="*/commit/*", method="POST")])
    assert faults.due("POST", COMMIT)
    assert not faults.due("GET", COMMIT)
    assert not faults.due("POST", "/api/models/demo/model/preupload/main")


def test_which_of_the_requests_is_counted_from_one():
    assert hits(Faults([Fault("drop")]), 3) == [1, 2, 3]
    assert hits(Faults([Fault("drop", nth=(2, 5))])) == [2, 5]
    assert hits(Faults([Fault("drop", most=2)])) == [1, 2]


def test_what_does_not_concern_a_rule_is_not_counted_by_it():
    faults = Faults([Fault("drop", method="POST", nth=(2,))])
    assert hits(faults, 5, "GET") == []
    assert hits(faults, 5) == [2]


def test_chance_falls_the_same_way_again_and_otherwise_with_another_seed():
    first, again, other = (hits(Faults([Fault("drop", chance=0.3)], seed=seed), 200) for seed in (1, 1, 2))
    assert first == again != other
    assert 30 < len(first) < 90
    assert hits(Faults([Fault("drop", chance=0.3, most=4)], seed=1), 200) == first[:4]


def test_the_first_rule_that_is_due_decides_and_all_of_them_count():
    faults = Faults([Fault("drop", nth=(1,)), Fault("stall", nth=(1, 2))])
    kinds = [due.kind if (due := faults.due("POST", COMMIT)) else None for _ in range(3)]
    assert kinds == ["drop", "stall", None]


def test_what_fired_is_told_with_its_rule_and_counted_by_kind(caplog):
    told = []
    faults = Faults([Fault("stall", nth=(3,)), Fault("drop", most=2)], told=told.append)
    with caplog.at_level("INFO", "pipeline.hub.local.faults"):
        hits(faults, 4)
    assert [str(fired) for fired in told] == [
        f"rule 2: drop for POST {COMMIT}",
        f"rule 2: drop for POST {COMMIT}",
        f"rule 1: stall for POST {COMMIT}",
    ]
    assert caplog.messages == [str(fired) for fired in told]
    assert faults.fired == told
    assert faults.by_kind() == {"drop": 2, "stall": 1}


def test_a_rule_that_is_added_begins_to_count_then():
    faults = Faults()
    assert hits(faults, 5) == []
    faults.add(Fault("drop", nth=(1,)))
    assert hits(faults, 5) == [1]
