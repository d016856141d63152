from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.release.recipe import Precision
from pipeline.release.solve import Choice, Unit, solve

DECISIONS = [Precision(bits) for bits in (2, 3, 4, 5, 6, 8)]


def unit(*choices, name="mlp.up_proj", layer=0):
    made = tuple(Choice(DECISIONS[index], *choice) for index, choice in enumerate(choices))
    return Unit(name, layer, (f"model.layers.{layer}.{name}",), made)


def best(units, room):
    """By trying everything."""
    return min(
        (
            sum(choice.error for choice in chosen)
            for chosen in itertools.product(*(unit.choices for unit in units))
            if sum(choice.nbytes for choice in chosen) <= room
        ),
        default=None,
    )


CHOICES = st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1, width=16)), min_size=1, max_size=5)


@given(
    choices=st.lists(CHOICES, min_size=1, max_size=4),
    fixed=st.integers(0, 10),
    budget=st.integers(1, 200),
)
@settings(max_examples=300, deadline=None)
def test_close_to_the_best_there_is_and_never_over_the_budget(choices, fixed, budget):
    units = [unit(*every, layer=layer) for layer, every in enumerate(choices)]
    least = best(units, budget - fixed)
    if least is None:
        with pytest.raises(UsageError):
            solve(units, fixed, budget)
        return
    found = solve(units, fixed, budget)
    assert all(choice in unit.choices for unit, choice in zip(units, found.choices, strict=True))
    assert found.nbytes == fixed + sum(choice.nbytes for choice in found.choices) <= budget
    assert found.error == pytest.approx(sum(choice.error for choice in found.choices))
    assert found.bound <= least + 1e-9
    # One step too many is all that separates it from what could not be better: the largest that a unit can gain.
    largest = max(max(c.error for c in unit.choices) - min(c.error for c in unit.choices) for unit in units)
    assert least - 1e-9 <= found.error <= least + largest + 1e-9


def test_bytes_go_where_they_buy_most():
    cheap = unit((10, 0.9), (20, 0.1), layer=0)
    dear = unit((100, 0.9), (200, 0.1), layer=1)
    found = solve([dear, cheap], 5, 130)
    assert [choice.nbytes for choice in found.choices] == [100, 20]
    assert (found.nbytes, found.error) == (125, pytest.approx(1.0))
    assert found.bound == pytest.approx(1.0 - 0.8 * 5 / 100)


def test_what_is_left_is_spent_on_a_smaller_step():
    # 4 bit are the steepest step from 2, but only 3 bit fit.
    found = solve([unit((10, 1.0), (15, 0.8), (20, 0.1))], 0, 16)
    assert found.choices[0].decision == Precision(3)


def test_with_room_for_everything_nothing_is_lost():
    found = solve([unit((10, 0.5), (20, 0.0)), unit((10, 0.5), (20, 0.1))], 0, 1000)
    assert (found.error, found.bound, found.nbytes) == (0.1, 0.1, 40)


def test_a_budget_that_is_too_small_says_what_takes_the_room():
    units = [unit((1000, 0.5), (2000, 0.1), name="switch_mlp.down_proj", layer=layer) for layer in range(3)]
    with pytest.raises(UsageError) as refused:
        solve([*units, unit((10, 0.0), name="lm_head", layer=None)], 7, 3016)
    assert "the smallest possible size is 3,017 bytes" in str(refused.value)
    assert "switch_mlp.down_proj at 2 bit g64 takes 3,000" in str(refused.value)
    assert "never quantized takes 7" in str(refused.value)
    assert "raise the budget by 1 bytes" in refused.value.hint
    assert solve([*units, unit((10, 0.0), name="lm_head", layer=None)], 7, 3017).nbytes == 3017
