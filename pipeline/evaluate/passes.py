"""Brings batches of tokens through all decoder layers, keeping what every layer gives out, and from there to logits.

What lies behind the last layer is kept in a folder, a file for every batch. A run that was killed goes on from there;
and the base's folder serves every later release that asks the same, which then needs no more than the base's head.

Calls of layers that were made before are skipped: what they gave out is not there any more, and the model's code is
given arrays without a number in them instead. Architectures mostly pass on only what the last call gave out. Where a
layer also changes what it was given, no later run goes on from it; where the model's code itself holds on to something
earlier, the result is no number or no result, and the batch is begun again.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import mlx.core as mx

from pipeline.errors import BaseModelError, PipelineError, WorkspaceError
from pipeline.evaluate import states
from pipeline.evaluate.decoder import architecture, on_its_way
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


class _ReachedEnd(Exception):
    """The batch has the last layer behind it: nothing more is to be computed."""


class _CallsAgain(Exception):
    """The model calls its layers once more."""


def finished(folder: Path, batches: int) -> bool:
    """Whether `through_layers` has nothing left to do."""
    calls = _calls(folder)
    return calls is not None and all(states.reached(_file(folder, at)).calls == calls for at in range(batches))


def through_layers(
    weights: Weights, batches: Sequence[Tokens], folder: Path, advance: Callable[[int], None], *, spill: int = SPILL
) -> None:
    """Bring every batch (sequences, length) behind the last layer; `advance` is told of tokens, each counted once.

    One process at a time may work in the folder. `BaseModelError` for an architecture whose code needs more behind its
    last layer than what that gave out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [_file(folder, at) for at in range(len(batches))]
    calls = max(weights.layers, *(states.reached(file).calls for file in files))
    while True:
        spilled = spill // len(batches)
        ways = [_Through(file, batch, calls, advance, spilled) for file, batch in zip(files, batches, strict=True)]
        calls = _follow(weights, ways)
        try:
            _check_head(weights, batches[0], folder)
        except _CallsAgain:
            calls += weights.layers
            advance = _silent
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
    wrong = [way for way in ways if way.failed or (way.resumed and _has_no_number(_read(way.file).output))]
    for way in wrong:
        way.begin_again()
    return _follow(weights, ways) if wrong else max(way.calls for way in ways)


def _follow_one(weights: Weights, way: _Through, park: Park) -> None:
    if way.calls >= way.stop:
        return
    way.park = park
    on_its_way.set(way)
    try:
        weights.model(mx.array(way.tokens))
    except _ReachedEnd:
        return
    except PipelineError:
        raise
    except Exception:  # whatever a model's code does when it misses what was left out
        if not way.resumed:
            raise
        way.failed = True


def _silent(_: int) -> None:
    """Of tokens that were told already."""


class _Through:
    """One batch on its way through the layers (`pipeline.evaluate.decoder.Way`).

    calls: how many calls of a layer it has behind it; resumed: some of them were skipped; failed: that went wrong.
    """

    def __init__(self, file: Path, tokens: Tokens, stop: int, advance: Callable[[int], None], spill: int) -> None:
        found = states.reached(file)
        self.file = file
        self.tokens = tokens
        self.stop = stop
        self.park: Park = _silent
        self.calls = found.calls if found.whole or found.calls >= stop else 0
        self.resumed = found.resumed or 0 < self.calls < stop
        self.failed = False
        self._whole = True
        self._advance = advance
        self._spill = spill
        self._made = 0
        self._known: State | None = None
        self._output: object = None
        advance(self._share(self.calls))

    def begin_again(self) -> None:
        self.file.unlink()
        self.calls = self._made = 0
        self.resumed = self.failed = False
        self._known = self._output = None
        self._advance = _silent

    def call(self, layer: int, inputs: Sequence[object], compute: Callable[[], object]) -> object:
        number, self._made = self._made, self._made + 1
        if number < self.calls:
            self._known = self._known or _read(self.file)
            if number < self.calls - 1:
                return states.filled(self._known.output, mx.nan)
            output = self._known.output
        else:
            self._wait(layer, inputs)
            before = states.containers(inputs)
            output = compute()
            mx.eval(list(states.leaves(output)))
            self._whole = self._whole and not states.changed(before, output)
            self.calls += 1
            state = State(number, output, self.resumed, self._whole)
            states.save(self.file, state, durable=self.calls == self.stop)
            self._advance(self._share(self.calls) - self._share(number))
        self._known = None
        if self.calls == self.stop:
            raise _ReachedEnd
        self._output = output
        return output

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
            state = _read(self.file)
            if state.call != self.calls - 1:
                raise WorkspaceError(f"{self.file} was written by another process", hint="Run one release at a time.")
            for array, spill, kept in zip(last, spilled, states.leaves(state.output), strict=True):
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
            raise _CallsAgain
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
        leaks = _has_no_number(_head(weights, batch, state, mx.nan))
        if leaks and not _has_no_number(_head(weights, batch, state, 0)):
            name = architecture(weights.model)
            raise BaseModelError(
                f"nothing can be measured on {name}: it needs more behind its last layer than that gave out"
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
