from __future__ import annotations

import contextlib
import threading
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn

from pipeline.evaluate.crews import step_through


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = mx.ones(3)
        mx.eval(self.weight)


class Model(nn.Module):
    def __init__(self, layers: int = 3) -> None:
        super().__init__()
        self.layers = [Layer() for _ in range(layers)]


class Visits:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def begin(self, layer: int) -> None:
        self.seen.append(("begin", layer))

    def end(self, layer: int) -> None:
        self.seen.append(("end", layer))


def run(jobs: list[Any], width: int = 2, model: Model | None = None) -> list[Any]:
    model, visits = model or Model(), Visits()
    step_through(model, model.layers, jobs, width, visits)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("layer")]
    return visits.seen


@pytest.mark.parametrize("width", [1, 2, 8])
def test_all_passes_step_through_a_layer_before_it_ends(width: int) -> None:
    steps: list[tuple[int, int]] = []

    def job(number: int) -> Any:
        def go(park: Any) -> None:
            for layer in range(3):
                park(layer)
                steps.append((layer, number))

        return go

    seen = run([job(number) for number in range(5)], width)
    assert seen == [(what, layer) for layer in range(3) for what in ("begin", "end")]
    assert [layer for layer, _ in steps] == [0] * 5 + [1] * 5 + [2] * 5
    assert len(set(steps)) == 15


def test_layers_may_come_in_any_order_and_again() -> None:
    def go(park: Any) -> None:
        for layer in (2, 0, 2):
            park(layer)

    assert [layer for what, layer in run([go, go]) if what == "begin"] == [2, 0, 2]


def test_a_pass_stays_in_the_thread_in_which_it_began() -> None:
    threads: dict[int, set[int]] = {}

    def job(number: int) -> Any:
        def go(park: Any) -> None:
            for layer in range(3):
                threads.setdefault(number, set()).add(threading.get_ident())
                park(layer)

        return go

    run([job(number) for number in range(4)])
    assert all(len(each) == 1 for each in threads.values())
    assert len({next(iter(each)) for each in threads.values()}) == 2


@pytest.mark.parametrize("changes", [True, False])
def test_no_two_compute_at_once_in_a_layer_that_replaces_its_weights(changes: bool) -> None:
    model = Model()
    together: list[int] = []
    inside = 0
    both = threading.Barrier(2, timeout=0.2)

    def go(park: Any) -> None:
        nonlocal inside
        for number, layer in enumerate(model.layers):
            park(number)
            inside += 1
            together.append(inside)
            if changes:
                layer.weight = layer.weight + 1
                mx.eval(layer.weight)
            elif len(together) > 1:
                with contextlib.suppress(threading.BrokenBarrierError):
                    both.wait()
            inside -= 1

    run([go] * 5, 2, model)
    assert (max(together) == 1) is changes


def test_what_one_pass_raises_ends_all() -> None:
    ended: list[int] = []

    def fails(park: Any) -> None:
        park(1)
        raise ValueError("no such layer")

    def waits(park: Any) -> None:
        try:
            park(1)
            park(2)
        finally:
            ended.append(1)

    with pytest.raises(ValueError, match="no such layer"):
        run([waits, fails, waits])
    assert len(ended) == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("layer")]
