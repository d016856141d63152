"""Reads safetensors headers, of files that may be broken or hostile, without reading a weight."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.errors import BaseModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Read: TypeAlias = Callable[[int, int], bytes]

BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}
"""Bits of one element of every dtype of the format, whether or not mlx can hold it."""

LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000  # the limit of the reference implementation
_HINT = "The file is damaged or was not made by a safetensors writer; download it again, or tell its publisher."


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file: `dtype` as safetensors writes it ("BF16"), `start` counted in bytes from the file's first."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * BITS[self.dtype] // 8


def read_header(path: Path, file: str = "") -> dict[str, Tensor]:
    """The tensors of a local file by name; errors call it `file`."""
    try:
        with path.open("rb") as handle:

            def read(start: int, length: int) -> bytes:
                handle.seek(start)
                return handle.read(length)

            return parse_header(file or path.name, path.stat().st_size, read)
    except OSError as error:
        raise BaseModelError(f"{file or path.name} cannot be read: {error.strerror}") from error


def parse_header(file: str, size: int, read: Read) -> dict[str, Tensor]:
    """The tensors of a file of `size` bytes by name, from two calls of `read(start, length)`.

    `BaseModelError` names the file, and the tensor where there is one, unless the header describes the file exactly:
    every byte belongs to one tensor.
    """
    length = int.from_bytes(_exactly(file, read, 0, LENGTH_BYTES), "little")
    if length > min(LONGEST_HEADER, size - LENGTH_BYTES):
        raise _broken(file, f"its header claims {length} bytes; the file has {size}")
    entries = _parse_json(file, _exactly(file, read, LENGTH_BYTES, length))
    metadata = entries.pop("__metadata__", None) or {}  # mlx writes null when it has none
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _broken(file, "its metadata is not a table of strings")
    origin = LENGTH_BYTES + length
    tensors = [_tensor(file, name, entry, origin) for name, entry in entries.items()]
    _check_cover(file, sorted(tensors, key=lambda tensor: (tensor.start, tensor.nbytes)), origin, size)
    return {tensor.name: tensor for tensor in tensors}


def _exactly(file: str, read: Read, start: int, length: int) -> bytes:
    content = read(start, length)
    if len(content) != length:
        raise _broken(file, f"it ends after {start + len(content)} bytes, within its header")
    return content


def _parse_json(file: str, content: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise _broken(file, f"its header names {twice!r} twice")
        return table

    try:
        entries = json.loads(content.decode(), object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise _broken(file, "its header is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _broken(file, "its header is not JSON") from error
    if not isinstance(entries, dict):
        raise _broken(file, "its header is not a table of tensors")
    return entries


def _tensor(file: str, name: str, entry: object, origin: int) -> Tensor:
    if not name.isprintable():
        raise _broken(file, f"a tensor's name holds unprintable characters: {name!r}")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _broken(file, f"{name} is not described by dtype, shape and data_offsets alone")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _broken(file, f"{name} is of the unknown dtype {dtype!r}")
    if not _are_sizes(shape):
        raise _broken(file, f"the shape of {name} is not a list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise _broken(file, f"the data_offsets of {name} are not two positions")
    tensor = Tensor(name, dtype, tuple(shape), file, origin + offsets[0])
    bits = math.prod(shape) * BITS[dtype]
    if bits % 8 or offsets[1] - offsets[0] != bits // 8:
        raise _broken(file, f"{name} has {offsets[1] - offsets[0]} bytes; {dtype} {shape} needs {bits / 8:g}")
    return tensor


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 1 << 63 for size in value)


def _check_cover(file: str, tensors: list[Tensor], origin: int, size: int) -> None:
    position = origin
    for tensor in tensors:
        if tensor.start < position:
            raise _broken(file, f"{tensor.name} overlaps the tensor before it")
        if tensor.start > position:
            raise _broken(file, f"{tensor.start - position} bytes before {tensor.name} belong to no tensor")
        position += tensor.nbytes
        if position > size:
            raise _broken(file, f"{tensor.name} ends at byte {position}; the file has {size}")
    if position != size:
        raise _broken(file, f"{size - position} bytes at its end belong to no tensor")


def _broken(file: str, what: str) -> BaseModelError:
    return BaseModelError(f"{file} is not a sound safetensors file: {what}", hint=_HINT)
