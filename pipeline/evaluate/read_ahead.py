"""Asks the system for the bytes of the next decoder layer while the current one computes."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError
from pipeline.evaluate.memory import available
from pipeline.release.layers import layer_of
from pipeline.weights.headers import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.weights.headers import Tensor

_BLOCK = 1 << 22
_SPARE = 2  # times the layer that must be free, else what is in the cache now would be pushed out


class ReadAhead:
    """Fills the system's cache, which gives way to all else; the process itself keeps nothing.

    By reading: what Linux is merely advised of, it reads a few MB of.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tensors: dict[int, list[Tensor]] = {}
        self._thread: threading.Thread | None = None
        for path in sorted(folder.glob("model*.safetensors")):
            with contextlib.suppress(BaseModelError):  # whoever needs the file will say what is wrong with it
                for tensor in read_header(path, path.name).values():
                    layer = layer_of(tensor.name)
                    if layer is not None:
                        self._tensors.setdefault(layer, []).append(tensor)

    def __call__(self, layer: int) -> None:
        """Begin with this layer, unless the one before is still being read or there is no memory for it."""
        wanted = self._tensors.get(layer, [])
        if self._thread and self._thread.is_alive():
            return
        if sum(tensor.nbytes for tensor in wanted) * _SPARE > available():
            return
        self._thread = threading.Thread(target=self._read, args=(wanted,), name="read-ahead", daemon=True)
        self._thread.start()

    def _read(self, tensors: list[Tensor]) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            handles: dict[str, int] = {}
            for tensor in tensors:
                if tensor.file not in handles:
                    handles[tensor.file] = os.open(self._folder / tensor.file, os.O_RDONLY)
                    stack.callback(os.close, handles[tensor.file])
                _into_cache(handles[tensor.file], tensor.start, tensor.nbytes)


def _into_cache(handle: int, start: int, count: int) -> None:
    for position in range(start, start + count, _BLOCK):
        os.pread(handle, min(_BLOCK, start + count - position), position)
