"""One file to large-file storage without Xet, in a process of its own: the client chooses the way when it is imported.

The process answers in lines of JSON: bytes that it has sent, or the failure that ended it. Its token is where the
client itself looks for one, in the environment or in the user's file, and never on its command line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import HubError, HubRefused
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOOK_AGAIN = 0.2  # seconds


def upload(
    endpoint: str, token: str | None, repository: Repository, upload: Upload, advance: Callable[[int], None]
) -> None:
    """Send a file as it was sent before there was Xet; an exception that `advance` raises ends the process."""
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1"}
    if token is not None:
        environment["HF_TOKEN"] = token
    asked = {
        "endpoint": endpoint,
        "repository": [repository.id, repository.kind],
        "source": str(upload.source.absolute()),
        "file": [upload.file.path, upload.file.size, upload.file.sha256],
    }
    failure: HubError | None = None
    command = [sys.executable, "-m", "pipeline.hub.lfs_process", json.dumps(asked)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            for line in _lines(process, advance):
                said = json.loads(line)
                if "sent" in said:
                    advance(said["sent"])
                else:
                    failure = _failure(said)
        except BaseException:
            process.kill()
            raise
    if failure is not None:
        raise failure
    if process.returncode:
        raise HubError(f"the process that sends {upload.file.path} without Xet ended with {process.returncode}")


def main(asked: dict[str, Any]) -> None:
    from pipeline.hub.huggingface import HuggingFace

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked decides when this ends
    path, size, sha256 = asked["file"]
    wanted = Upload(Path(asked["source"]), File(path, size, sha256))
    try:
        HuggingFace(asked["endpoint"]).preupload(
            Repository(*asked["repository"]), wanted, lambda amount: _say({"sent": amount})
        )
    except HubError as error:
        refused = isinstance(error, HubRefused)
        _say({"message": str(error), "hint": error.hint, "refused": refused, "retry_after": error.retry_after})


def _lines(process: subprocess.Popen[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    """What the process says, line by line; `advance` is told of nothing all the while, so that it can end this."""
    said = b""
    handle = process.stdout.fileno() if process.stdout else -1
    while True:
        if not select.select([handle], [], [], _LOOK_AGAIN)[0]:
            advance(0)
        elif block := os.read(handle, 1 << 16):
            *lines, said = (said + block).split(b"\n")
            yield from lines
        else:
            return


def _failure(said: dict[str, Any]) -> HubError:
    kind = HubRefused if said["refused"] else HubError
    return kind(said["message"], hint=said["hint"], retry_after=said["retry_after"])


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
