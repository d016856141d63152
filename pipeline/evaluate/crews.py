"""Steps many forward passes through a model together, decoder layer by decoder layer, each in a coroutine of its own.

A pass parks where it reaches a layer, and goes on when all others are parked too. Where several threads compute at a
time, each has coroutines of its own. Some architectures replace their own weights while they compute, by a cast for
instance: that is found out by letting one pass go first, and then no two are let in at once.
"""

from __future__ import annotations

import contextlib
import operator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol, Self

import greenlet

from pipeline.evaluate.model import held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from pipeline.evaluate.model import Layer, Model

    Park = Callable[[int], None]
    Job = Callable[[Park], None]


class Visit(Protocol):
    """What is done before and after the passes step through a layer."""

    def begin(self, layer: int) -> None: ...

    def end(self, layer: int) -> None: ...


def step_through(model: Model, layers: Sequence[Layer], jobs: Sequence[Job], width: int, visit: Visit) -> None:
    """Run all jobs in `width` threads; each calls what it is given with the number of a layer before that computes."""
    changing: dict[object, bool] = {}
    with contextlib.ExitStack() as stack:
        crews = [stack.enter_context(_Crew(jobs[first::width])) for first in range(min(width, len(jobs)))]
        _let_in(crews, None, model, changing)
        while reached := {layer for crew in crews for layer in crew.parked.values()}:
            layer = min(reached)
            visit.begin(layer)
            _let_in([crew for crew in crews if layer in crew.parked.values()], layer, layers[layer], changing)
            visit.end(layer)


def _let_in(crews: Sequence[_Crew], layer: int | None, module: Model | Layer, changing: dict[object, bool]) -> None:
    """Step all passes that wait for `layer`, or begin them all; `changing` is known by the classes of the modules."""
    kind = frozenset((type(part).__module__, type(part).__name__) for part in module.modules())
    if kind not in changing:
        before = held(module)
        crews[0].step(layer, most=1).result()
        after = held(module)
        changing[kind] = len(before) != len(after) or any(map(operator.is_not, before, after))
        del before, after
    if changing[kind]:
        for crew in crews:
            crew.step(layer).result()
        return
    running = [crew.step(layer) for crew in crews]
    wait(running)
    for future in running:
        future.result()


class _Crew:
    """A thread, and the coroutines that live in it; parked: the layer at which each of the unfinished ones waits."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.parked: dict[greenlet.greenlet, int] = {}
        self._jobs = list(jobs)
        self._thread = ThreadPoolExecutor(1, "layer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._end).result()
        self._thread.shutdown()

    def step(self, layer: int | None, most: int | None = None) -> Future[None]:
        """Let those that wait for the layer go on until the next; None begins those that have not begun."""
        return self._thread.submit(self._begin if layer is None else self._resume, layer, most)

    def _begin(self, _: int | None, most: int | None) -> None:
        for job in self._jobs[:most]:
            self._jobs.remove(job)
            self._switch(greenlet.greenlet(job), _park)

    def _resume(self, layer: int | None, most: int | None) -> None:
        for coroutine in [one for one, reached in self.parked.items() if reached == layer][:most]:
            del self.parked[coroutine]
            self._switch(coroutine)

    def _switch(self, coroutine: greenlet.greenlet, *arguments: object) -> None:
        reached = coroutine.switch(*arguments)
        if not coroutine.dead:
            self.parked[coroutine] = reached

    def _end(self) -> None:
        """A coroutine can be ended only in its own thread."""
        for coroutine in self.parked:
            coroutine.throw(greenlet.GreenletExit)
        self.parked.clear()


def _park(layer: int) -> None:
    parent = greenlet.getcurrent().parent
    if parent is None:
        raise RuntimeError("a pass that nobody steps has reached a layer")
    parent.switch(layer)
