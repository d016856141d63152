"""What a diff says of a value, for people and for programs."""

from __future__ import annotations

import json
import math

import pytest

from pipeline.card.changes import Change, Diff, relative
from pipeline.card.leaves import differing


@pytest.mark.parametrize(
    ("old", "new", "share"),
    [
        (2.0, 3.0, 0.5),
        (-0.02, 0.04, None),
        (0.0, 1.0, None),
        (None, 1.0, None),
        (1.0, None, None),
        (1e-300, 1e300, None),
        (5e-324, 10**308, None),
        (1.0, math.nan, None),
    ],
)
def test_a_share_is_told_only_of_what_it_says_something_about(old, new, share):
    assert relative(old, new) == share


def test_what_is_no_number_on_both_sides_is_the_same():
    assert differing({"a": math.nan, "b": [math.nan]}, {"a": float("nan"), "b": [float("nan")]}) == {}
    assert list(differing({"a": math.nan}, {"a": 1.0})) == ["a"]


def test_for_programs_every_value_is_json():
    made = Diff("demo", "old", "new", front_matter=(Change("a", "changed", math.nan, [math.inf, {"b": 1.5}]),))
    [row] = json.loads(json.dumps(made.to_json(), allow_nan=False))["front_matter"]
    assert (row["old"], row["new"]) == ("nan", ["inf", {"b": 1.5}])
