"""Where the Xet protocol is spoken: one address in every run, since clients remember by it what is stored."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from pipeline.hub.local.blobs import make_folder
from pipeline.manifest import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "address.json"


@dataclass(frozen=True)
class XetAddress:
    """hf-xet keeps its notes of stored chunks in a folder named after the whole address: host, port and path.

    port: 0 for any; another program may have taken it since. name: renewed when notes would promise what was dropped.
    """

    port: int = 0
    name: str = ""


def read_address(folder: Path) -> XetAddress:
    try:
        return XetAddress(**json.loads((folder / _FILE).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return XetAddress()


def keep_port(folder: Path, port: int) -> None:
    known = read_address(folder)
    _write(folder, known, XetAddress(port, known.name or secrets.token_hex(8)))


def renew_name(folder: Path) -> None:
    known = read_address(folder)
    _write(folder, known, replace(known, name=secrets.token_hex(8)))


def path(folder: Path) -> str:
    """The last part of the address; of a copy of the folder it is another one, as it will hold other things."""
    inode = folder.stat().st_ino if folder.exists() else 0
    which = [read_address(folder).name, str(folder.resolve()), inode]
    return hashlib.sha256(json.dumps(which).encode()).hexdigest()[:16]


def _write(folder: Path, known: XetAddress, wanted: XetAddress) -> None:
    if wanted != known:
        make_folder(folder)
        write_atomically(folder / _FILE, json.dumps(asdict(wanted)))
