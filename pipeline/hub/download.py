"""One file of a Hub onto the disk: what is there already is kept, the rest comes on several connections at once."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.errors import HubError, HubRefused
from pipeline.hub.deadline import Limit
from pipeline.hub.partial import PIECE, Partial, has_digest
from pipeline.hub.remote import RangesIgnored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.hub.protocol import Advance
    from pipeline.hub.remote import RemoteFile
    from pipeline.manifest import File

# Storage sends only so fast on one connection; on four, a file comes almost four times as fast (docs/local-hub.md).
CONNECTIONS = 4
STRETCH = 64
"""Pieces asked for by one request."""
_NOTICE = 0.5  # seconds until it is noticed that the run is stopping, when nothing comes


def download(remote: RemoteFile, file: File, target: Path, advance: Advance) -> None:
    """`pipeline.hub.protocol.Hub.download`: one attempt, after which every piece that came is kept."""
    partial = Partial(target, file)
    if target.exists():
        # It was finished, and the process killed before that could be recorded; or it is damaged.
        if target.stat().st_size == file.size and has_digest(target, file.sha256 or file.git_sha1, _stoppable(advance)):
            advance(file.size, resumed=True)
            partial.discard()
            return
        target.unlink()
    with partial:
        partial.check(advance)
        try:
            _fetch(remote, partial, partial.missing(at_most=STRETCH), advance)
        except RangesIgnored:
            # All of it has to come again, past what is here already.
            _fetch(remote, partial, [range(partial.count)], advance)
        if partial.is_right(_stoppable(advance)):
            partial.keep()
        elif not partial.arrived_wrong:
            partial.start_over()
            raise HubError(f"{remote.name} arrived with another digest than the Hub names, and is fetched again")
        else:
            partial.discard()
            raise HubRefused(
                f"{remote.name} arrived twice with another digest than the Hub names",
                hint="Something alters data on its way: the memory or the disk of this machine, a proxy, or the Hub's"
                " storage. Try another disk or network; the same command fetches this file anew.",
            )


def _fetch(remote: RemoteFile, partial: Partial, runs: Sequence[range], advance: Advance) -> None:
    """Ask for every run of pieces, several at a time; where one fails the others stop after the piece they are at.

    All of them end when no piece comes for too long, or when they take longer together than their bytes may: a server
    that sends a byte a minute is never silent, and would hold them for ever.
    """
    arrived: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    stop = threading.Event()
    limit = Limit(f"read {remote.name}", partial.size)

    def receive(run: range) -> None:
        try:
            if not stop.is_set():
                _receive(remote, partial, run, arrived.put, stop)
        except BaseException:
            stop.set()
            raise
        finally:
            arrived.put(None)

    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="download") as pool:
        asked = [pool.submit(receive, run) for run in runs]
        try:
            # Only this thread counts, so that whoever is told need not expect several.
            pending = len(asked)
            while pending:
                amount = _next(arrived)
                pending -= amount is None
                advance(amount or 0)
                if pending:
                    limit.check(amount or 0)
        except BaseException:
            stop.set()
            remote.hang_up()
            raise
    for future in asked:
        future.result()


def _next(arrived: queue.SimpleQueue[int | None]) -> int | None:
    try:
        return arrived.get(timeout=_NOTICE)
    except queue.Empty:
        return 0


def _receive(
    remote: RemoteFile, partial: Partial, run: range, told: Callable[[int], None], stop: threading.Event
) -> None:
    """Write the pieces of one answer; `told` is the length of each that was missing."""
    index = run.start
    with remote.stream(run.start * PIECE, min(run.stop * PIECE, partial.size), partial.size) as response:
        for block in response.iter_bytes(PIECE):
            if index == run.stop or len(block) != partial.length(index):
                break
            if index not in partial:
                partial.put(index, block)
                told(len(block))
            index += 1
            if stop.is_set():
                return
    if index < run.stop:
        raise HubError(f"the connection ended after {index * PIECE} of {partial.size} bytes of {remote.name}")


def _stoppable(advance: Advance) -> Callable[[int], None]:
    """Reading what is here again is no progress, but has to end when the run does."""
    return lambda _: advance(0)
