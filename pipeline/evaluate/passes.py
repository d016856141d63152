"""Brings batches of tokens through all decoder layers, keeping what every layer gives out, and from there to logits.

What lies behind the last layer is kept in a folder, a file for every batch. A run that was killed goes on from there;
and the base's folder serves every later release that asks the same, which then needs no more than the base's head.

Calls of layers that were made before are skipped: what they gave out is not there any more, and the model's code is
given arrays without a number in them instead. All known architectures pass on only what the last call gave out; if one
does not, its results are no numbers, and it is refused.
"""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING

import mlx.core as mx

from pipeline.errors import BaseModelError, WorkspaceError
from pipeline.evaluate import states
from pipeline.evaluate.decoder import on_its_way
from pipeline.evaluate.forward import computing
from pipeline.evaluate.states import State
from pipeline.manifest import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.evaluate.crews import Park
    from pipeline.evaluate.forward import Tokens, Weights

SPILL = 1 << 30
"""Bytes of hidden states that are held in memory; above it each is read again from its file when it is its turn."""

_CALLS = "calls.json"


class _Behind(Exception):
    """The batch has the last layer behind it: nothing more is to be computed."""


class _More(Exception):
    """The model calls its layers once more."""


def finished(folder: Path, batches: int) -> bool:
    """Whether `through_layers` has nothing left to do."""
    calls = _calls(folder)
    return calls is not None and all(states.calls(_file(folder, index)) == calls for index in range(batches))


def through_layers(
    weights: Weights, batches: Sequence[Tokens], folder: Path, advance: Callable[[int], None], *, spill: int = SPILL
) -> None:
    """Bring every batch (sequences, length) behind the last layer; `advance` is told of tokens, each counted once.

    `BaseModelError` for an architecture whose code needs more than what the last layer gave out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    calls = weights.layers
    while True:
        spilled = spill // len(batches)
        calls = _follow(
            weights,
            [_Through(_file(folder, at), batch, calls, advance, spilled) for at, batch in enumerate(batches)],
        )
        try:
            _check_head(weights, batches[0], folder)
        except _More:
            calls += weights.layers
        else:
            write_atomically(folder / _CALLS, json.dumps(calls))
            return


def logits(weights: Weights, batches: Sequence[Tokens], folder: Path, index: int) -> mx.array:
    """Float32 logits (sequences, length, vocabulary) of one batch that is behind the last layer.

    Call it within `computing`.
    """
    return _head(weights, batches[index], _read(_file(folder, index)), mx.nan)


def _follow(weights: Weights, ways: Sequence[_Through]) -> int:
    """Follow all batches for as many calls of a layer as they stop at, or as the model makes, and return how many."""
    weights.run([partial(_follow_one, weights, way) for way in ways])
    leaked = [way for way in ways if way.resumed and _has_no_number(_read(way.file).output)]
    for way in leaked:
        way.begin_again()
    return _follow(weights, ways) if leaked else max(way.calls for way in ways)


def _follow_one(weights: Weights, way: _Through, park: Park) -> None:
    if way.calls < way.stop:
        way.park = park
        on_its_way.set(way)
        with contextlib.suppress(_Behind):
            weights.model(mx.array(way.tokens))


class _Through:
    """One batch on its way through the layers (`pipeline.evaluate.decoder.Way`).

    calls: how many calls of a layer it has behind it.
    """

    def __init__(self, file: Path, tokens: Tokens, stop: int, advance: Callable[[int], None], spill: int) -> None:
        self.file = file
        self.tokens = tokens
        self.stop = stop
        self.park: Park = lambda _layer: None
        self.calls = states.calls(file)
        self.resumed = 0 < self.calls < stop
        self._advance = advance
        self._spill = spill
        self._made = 0
        self._known: State | None = None
        self._output: object = None
        advance(self._share(self.calls))

    def begin_again(self) -> None:
        self.file.unlink()
        self.calls = self._made = 0
        self.resumed = False
        self._advance = lambda _: None  # its tokens were counted

    def call(self, layer: int, inputs: Sequence[object], compute: Callable[[], object]) -> object:
        number, self._made = self._made, self._made + 1
        if number < self.calls:
            self._known = self._known or _read(self.file)
            if number < self.calls - 1:
                return states.filled(self._known.output, mx.nan)
            self._output = self._known.output
        else:
            self._wait(layer, inputs)
            self._output = compute()
            mx.eval(list(states.leaves(self._output)))
            states.save(self.file, State(number, self._output))
            self.calls += 1
            self._advance(self._share(self.calls) - self._share(number))
        self._known = None
        if self.calls == self.stop:
            raise _Behind
        return self._output

    def _share(self, calls: int) -> int:
        return self.tokens.size * min(calls, self.stop) // self.stop

    def _wait(self, layer: int, inputs: Sequence[object]) -> None:
        """Park. What lies in the file need not lie in memory meanwhile: in place, so that all who hold it see it."""
        last = list(states.leaves(self._output))
        spilled = [any(array is one for one in states.leaves(inputs)) for array in last]
        self._output = None
        if sum(array.nbytes for array in last) <= self._spill:
            spilled = [False] * len(last)
        for array, spill in zip(last, spilled, strict=True):
            if spill:
                array[...] = mx.zeros((), array.dtype)
        self.park(layer)
        if any(spilled):
            for array, spill, kept in zip(last, spilled, states.leaves(_read(self.file).output), strict=True):
                if spill:
                    array[...] = kept
                    mx.eval(array)


class _Beyond:
    """A batch that has the last layer behind it (`pipeline.evaluate.decoder.Way`)."""

    def __init__(self, state: State, filler: float) -> None:
        self._state = state
        self._filler = filler
        self._made = 0

    def call(self, layer: int, inputs: Sequence[object], compute: Callable[[], object]) -> object:
        del layer, inputs, compute  # it was computed before
        number, self._made = self._made, self._made + 1
        if number > self._state.call:
            raise _More
        return self._state.output if number == self._state.call else states.filled(self._state.output, self._filler)


def _head(weights: Weights, batch: Tokens, state: State, filler: float) -> mx.array:
    before = on_its_way.set(_Beyond(state, filler))
    try:
        return weights.model(mx.array(batch)).astype(mx.float32)
    finally:
        on_its_way.reset(before)


def _check_head(weights: Weights, batch: Tokens, folder: Path) -> None:
    state = _read(_file(folder, 0))
    with computing(weights):
        if _has_no_number(_head(weights, batch, state, mx.nan)) and not _has_no_number(_head(weights, batch, state, 0)):
            raise BaseModelError(
                f"{type(weights.model).__module__.rpartition('.')[2]} needs more behind its last layer than what that "
                "gave out, so it cannot be evaluated layer by layer"
            )


def _has_no_number(output: object) -> bool:
    floats = (array for array in states.leaves(output) if mx.issubdtype(array.dtype, mx.floating))
    return any(bool(mx.any(mx.isnan(array)).item()) for array in floats)


def _read(file: Path) -> State:
    state = states.load(file)
    if state is None:
        raise WorkspaceError(f"{file} cannot be read", hint="Run the same command again; it is made anew.")
    return state


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:05}.safetensors"


def _calls(folder: Path) -> int | None:
    try:
        return int(json.loads((folder / _CALLS).read_text()))
    except (OSError, ValueError, TypeError):
        return None
