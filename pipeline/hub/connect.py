"""Which Hub a release talks to: huggingface.co, or the embedded one that lives in the workspace."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pipeline.hub import LOCAL_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.hub.protocol import Hub

HUGGINGFACE = "https://huggingface.co"
# The embedded Hub takes any token for its one account; it listens on this machine only.
LOCAL_TOKEN = "local-rehearsal"  # noqa: S105

_MEMORY = "client"
_LOOKED = "Nothing was changed. Run the same command again when the Hub can be reached."


@contextlib.contextmanager
def connect(
    place: str, local_folder: Path, *, writable: bool, told: Callable[[str], None] = lambda _: None
) -> Iterator[Hub]:
    """The Hub at `place` ("huggingface" or "local"), retried and, unless `writable`, read-only.

    Before a command that only looks somebody sits and waits, so its patience is of seconds.

    local_folder: where the embedded Hub keeps its repositories. A `pipeline hub` that serves it already is used;
    otherwise one is started for as long as the block lasts.

    The client reads its environment when it is imported, so nothing may import it earlier.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    endpoint = os.environ.get("HF_ENDPOINT", HUGGINGFACE).rstrip("/")
    token, shown = None, None
    with contextlib.ExitStack() as stack:
        if place == "local":
            # What the client remembers of this Hub goes when the Hub goes.
            os.environ.setdefault("HF_XET_CACHE", str(local_folder / _MEMORY))
            endpoint, shown = stack.enter_context(_local(local_folder, writable=writable))
            token = LOCAL_TOKEN
        from pipeline.hub import xet
        from pipeline.hub.huggingface import HuggingFace
        from pipeline.hub.readonly import ReadOnly
        from pipeline.hub.retry import Patient

        for name, value in xet.SETTINGS.items():
            os.environ.setdefault(name, value)
        real = HuggingFace(endpoint, token, shown=shown)
        if writable:
            yield Patient(real, told=told)
        else:
            yield ReadOnly(
                Patient(real, attempts=4, seconds=20, longest_wait=4, call_seconds=120, told=told, hint=_LOOKED)
            )


@contextlib.contextmanager
def _local(folder: Path, *, writable: bool) -> Iterator[tuple[str, str]]:
    """The endpoint of the embedded Hub, and the address at which it will still be found when this process has ended."""
    from pipeline.hub.local.server import LocalHub, find_running

    if running := find_running(folder):
        yield running, running
        return
    with LocalHub(folder, readonly=not writable) as server:
        yield server.endpoint, f"http://127.0.0.1:{LOCAL_PORT}"
