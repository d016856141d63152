"""The base on its way through the command line: what is killed goes on, and says so."""

from __future__ import annotations

import re
import signal
import time

import line

from pipeline.card.figures import byte_size
from pipeline.hub.local.server import LocalHub
from pipeline.hub.partial import PIECE, Partial
from pipeline.manifest import File


def test_a_killed_release_asks_only_for_what_is_missing_of_its_base(repository, seeded_hub, monkeypatch):
    repository.start_from(seeded_hub)
    wire = line.Line()
    wire.lay(monkeypatch)
    base = repository.workspace / "releases/demo/base"
    with LocalHub(repository.hub):
        wire.faults[line.STORAGE] += [line.stalled(5 * PIECE + 1000)] * 100
        with repository.start("release", "demo", "--until", "download") as process:
            while process.poll() is None and sum(map(len, noted(base).values())) < 4 * 5:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        had = noted(base)
        wire.clear()
        code, said = repository.run("release", "demo", "--until", "download")
    assert code == 0, said
    assert not noted(base)
    missing = 0
    for path in base.glob("*.safetensors"):
        size = path.stat().st_size
        resumed = sum(min(PIECE, size - int(piece) * PIECE) for piece in had[path.name])
        missing += size - resumed
        shown = byte_size(resumed)
        assert re.search(rf"download/base/{path.name}: .* in .*, {re.escape(shown)} of it were here", said), said
    assert sum(asked.sent for asked in wire.at(line.STORAGE) if asked.range) == missing


def test_what_is_left_of_a_file_that_the_base_lost_is_removed(repository, seeded_hub):
    """As after another revision, whose shards are cut in another way."""
    repository.start_from(seeded_hub)
    base = repository.workspace / "releases/demo/base"
    base.mkdir(parents=True)
    for name in ("model-00001-of-00002.safetensors", "model-00001-of-00003.safetensors"):
        with Partial(base / name, File(name, 3 * PIECE, sha256="a" * 64)) as partial:
            partial.check(lambda *_, **__: None)
            partial.put(0, bytes(PIECE))
    (base / ".mine.part").write_text("mine")
    code, said = repository.run("release", "demo", "--until", "seed")
    assert code == 0, said
    assert "removed what an earlier release made: base/model-00001-of-00002.safetensors" in " ".join(said.split())
    assert sorted(path.name for path in base.iterdir()) == [
        ".mine.part",
        ".model-00001-of-00003.safetensors.part",
        ".model-00001-of-00003.safetensors.part.pieces",
    ]


def noted(base):
    """The pieces that are noted of each large file that is not finished."""
    lines = {path: path.read_text().splitlines()[1:] for path in base.glob(".*.safetensors.part.pieces")}
    return {path.name[1:].removesuffix(".part.pieces"): [n.split()[0] for n in noted] for path, noted in lines.items()}
