"""How fast downloads are on lines of which each connection carries only so much, and what kills cost.

    python tests/benchmarks/downloads.py

The Hub is the local one, slowed down for each connection; the client is another process. Bytes are counted where they
are sent, and what had been sent when a client was killed counts in full, whether it got there or not.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "builders"))

import line

from pipeline.hub import download
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import describe

MODEL = Repository("demo/model")
MIB = 2**20
FILES_AT_ONCE = 4


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", type=int, default=256, help="MiB of one file, and of eight files half of it each")
    options.add_argument("--limit", type=int, default=8, help="MB/s of a connection")
    options.add_argument("--connections", type=int, nargs="+", default=[1, 2, 4], help="of a file")
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=6)
    options.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.client:
        fetch(*asked.client)
        return
    wire = line.Line()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        wire.lay(patch)
        with LocalHub(Path(folder) / "hub") as server:
            rows = [("1-file", 1, asked.size * MIB), ("8-files", 8, asked.size * MIB // 2)]
            for row in rows:
                publish(server, Path(folder), *row)
            print(f"{asked.limit} MB/s a connection\n\n| files | connections a file | seconds | MB/s |")
            print("|---|---:|---:|---:|")
            for repository, _, _ in rows:
                for connections in asked.connections:
                    wire.clear()
                    wire.faults[line.STORAGE] += [line.slow(asked.limit * 10**6)] * 10_000
                    print(timed(server, repository, Path(folder), connections), flush=True)
            wire.clear()
            wire.faults[line.STORAGE] += [line.slow(asked.limit * 10**6)] * 10_000
            print(killed(server, wire, Path(folder), asked.kills, asked.seed))


def publish(server: LocalHub, folder: Path, name: str, count: int, size: int) -> None:
    hub, repository = HuggingFace(server.endpoint, "token"), Repository(f"demo/{name}")
    hub.create(repository)
    uploads = []
    for number in range(count):
        path = folder / f"{number}.safetensors"
        path.write_bytes(random.Random(number).randbytes(MIB) * (size // MIB))
        uploads.append(Upload(path, describe(path, path.name)))
    hub.commit(repository, uploads, [], parent=str(hub.head(repository)), message="files")


def timed(server: LocalHub, repository: str, folder: Path, connections: int) -> str:
    target = folder / f"{repository}-{connections}"
    with client(server, repository, target, connections) as process:
        _, error = process.communicate()
    assert process.returncode == 0, error
    seconds, size = map(float, (target / "took").read_text().split())
    return f"| {repository.replace('-', ' ')} | {connections} | {seconds:.1f} | {size / seconds / 1e6:.0f} |"


def killed(server: LocalHub, wire: line.Line, folder: Path, count: int, seed: int) -> str:
    """Each kill comes when a random number of bytes was sent since the last: none comes before the first byte."""
    moments, target = random.Random(seed), folder / "killed"
    whole = sum(
        file.size for file in HuggingFace(server.endpoint, "token").manifest(Repository("demo/8-files"), "main")
    )
    for _ in range(count):
        then = wire.sent + moments.randint(1, whole // count)
        with client(server, "8-files", target, download.CONNECTIONS) as process:
            while wire.sent < then and process.poll() is None:
                time.sleep(0.01)
            process.kill()
    with client(server, "8-files", target, download.CONNECTIONS) as process:
        _, error = process.communicate()
    assert process.returncode == 0, error
    needed = sum(path.stat().st_size for path in target.glob("*.safetensors"))
    return f"\n{count} kills (seed {seed}): {wire.sent:,} bytes sent, {needed:,} needed, {wire.sent / needed:.3f}"


def client(server: LocalHub, repository: str, target: Path, connections: int) -> subprocess.Popen[str]:
    target.mkdir(exist_ok=True)
    arguments = [sys.executable, __file__, "--client", f"{server.endpoint}/{repository}", str(target), str(connections)]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1"}
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment)


def fetch(address: str, target: str, connections: str) -> None:
    endpoint, _, name = address.rpartition("/")
    download.CONNECTIONS = int(connections)
    hub, repository = HuggingFace(endpoint, "token"), Repository(f"demo/{name}")
    files = [file for file in hub.manifest(repository, "main") if file.sha256]
    began = time.monotonic()
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        for done in [
            pool.submit(hub.download, repository, "main", file, Path(target) / file.path, lambda *_, **__: None)
            for file in files
        ]:
            done.result()
    (Path(target) / "took").write_text(f"{time.monotonic() - began} {sum(file.size for file in files)}")


if __name__ == "__main__":
    main()
