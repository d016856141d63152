"""What is sent again after kill -9 in the middle of a shard's upload, through Xet and without it.

    python tests/benchmarks/killed_upload.py --shards 4 --megabytes 512 --markdown killed.md

A process uploads random shards, which nothing can pack or deduplicate, one after the other to a local Hub; it is killed
when it says that 60 % of the last but one is done, and started again, as the same command would be. The Hub counts
every byte that reached it. Ten minutes or so, and twice the shards' size on disk.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.hub.connect import connect
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import describe

MODEL = Repository("demo/model")
_KILLED_AT = 0.6
_LIBRARYS_OWN = {
    "HF_XET_DATA_SESSION_XORB_METADATA_FLUSH_MAX_COUNT": "64",
    "HF_XET_CLIENT_AC_MAX_UPLOAD_CONCURRENCY": "64",
}
WAYS = {
    "through Xet": {},
    "through Xet, with the library's own settings": _LIBRARYS_OWN,
    "without Xet": {"HF_HUB_DISABLE_XET": "1"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=512, help="size of a shard")
    parser.add_argument("--runs", type=int, default=3, help="of each way; the table has the median")
    parser.add_argument("--markdown", type=Path, help="where to write the table, too")
    options = parser.parse_args()
    size = options.megabytes * 1_000_000
    rows = ["| way | needed, MB | sent, MB | sent again, MB |", "|---|---|---|---|"]
    for way, settings in WAYS.items():
        runs = []
        for _ in range(options.runs):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(_sent(Path(folder), options.shards, size, settings))
            print(f"{way}: {runs[-1] / 1e6:.0f} MB", file=sys.stderr, flush=True)
        needed, sent = options.shards * size, statistics.median(runs)
        again = [f"{(run - needed) / 1e6:.0f}" for run in sorted(runs)]
        more = f"{(sent - needed) / 1e6:.0f} ({again[0]} to {again[-1]})"
        rows.append(f"| {way} | {needed / 1e6:.0f} | {sent / 1e6:.0f} | {more} |")
        print(rows[-1], flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(rows) + "\n")


def _sent(folder: Path, shards: int, size: int, settings: dict[str, str]) -> int:
    """Bytes that reached the Hub in the bodies of all requests, over both runs."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    for name in names:
        with (folder / name).open("wb") as file:
            for _ in range(0, size, 1_000_000):
                file.write(os.urandom(1_000_000))
    with LocalHub(folder / "hub") as hub:
        environment = {**os.environ, **settings, "HF_HOME": str(folder / "home")}
        command = [sys.executable, __file__, "--client", str(folder), *names]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as client:
            for line in client.stdout or ():
                name, done = line.split()
                if name == names[-2] and int(done) > _KILLED_AT * size:
                    client.send_signal(signal.SIGKILL)
                    break
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        shutil.rmtree(folder / "home", ignore_errors=True)
        return sum(request.received for request in hub.requests)


def client(folder: Path, names: list[str]) -> None:
    """Upload what no earlier run has a record of, as a release does."""
    with connect("local", folder / "hub", writable=True) as hub:
        hub.create(MODEL)
        for name in names:
            record = folder / f"{name}.done"
            if record.exists():
                continue
            done = 0

            def tell(amount: int, name: str = name) -> None:
                nonlocal done
                done += amount
                print(name, done, flush=True)

            hub.preupload(MODEL, Upload(folder / name, describe(folder / name, name)), tell)
            record.touch()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        with contextlib.suppress(BrokenPipeError):
            client(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
