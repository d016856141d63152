"""A release repository whose `demo` was published: a few small files, by the real client at the embedded Hub."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.hub.connect import connect
from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.publish import publish
from pipeline.lock import Lock, LockedBase, LockedRecipe, LockedTarget
from pipeline.manifest import SUMS, File, Manifest, describe

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Repository("demo/SmolLM2-135M-Instruct-MLX-mixed")
CARD = "---\nlicense: apache-2.0\n---\n\n# Demo\n\nA small one.\n"
SHARDS = tuple(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3))
MODEL = {
    "config.json": b'{"model_type": "llama"}\n',
    "tokenizer.json": b"{}\n",
    **{shard: random.Random(shard).randbytes(20_000) for shard in SHARDS},
}
NEW_MODEL = {
    **{name: MODEL[name] for name in ("config.json", "tokenizer.json", SHARDS[0])},
    SHARDS[1]: b"z" * 20_000,
}
NEW_CARD = CARD.replace("A small one.", "A better one.")
PLOT = b"\x89PNG drawn"


@dataclass(frozen=True)
class SmallRelease:
    """`root` is the release repository; the embedded Hub runs for as long as a block or a command lasts."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "releases/demo"

    @property
    def model(self) -> Path:
        return self.root / ".pipeline/releases/demo/model"

    @property
    def store(self) -> Store:
        return Store(self.root / ".pipeline/hub", readonly=True)

    @property
    def lock(self) -> Lock:
        return Lock.from_json((self.folder / "release.lock.json").read_text())

    def hub(self):
        return connect("local", self.root / ".pipeline/hub", writable=True)

    def tags(self) -> dict[str, str]:
        return dict(self.store.refs(TARGET).tags)

    def titles(self) -> list[str]:
        return [commit.title for commit in self.store.history(TARGET, self.store.resolve(TARGET, "main"))]

    def content(self, path: str, revision: str = "main") -> bytes:
        entry = self.store.tree(TARGET, self.store.resolve(TARGET, revision))[path]
        return self.store.blobs.path(entry.sha256).read_bytes()

    def tree(self, revision: str = "main") -> dict[str, str]:
        tree = self.store.tree(TARGET, self.store.resolve(TARGET, revision))
        return {path: entry.sha256 for path, entry in tree.items()}

    def release(self, tag: str = "v1", card: str = CARD, model: dict[str, bytes] = MODEL) -> str:
        """Write everything that a release leaves, publish it, and answer its commit."""
        written = {"README.md": card.encode(), "assets/plot.png": PLOT, "evidence.json": b"{}\n"}
        for folder, files in ((self.model, model), (self.folder, written)):
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        uploads = [Upload(self.model / name, describe(self.model / name, name)) for name in model]
        files = tuple(replace(each.file, git_sha1="") for each in uploads)
        self.write_lock(files, tag, None)
        names = (*written, "release.lock.json")
        uploads += [Upload(self.folder / name, describe(self.folder / name, name)) for name in names]
        sums = self.root / SUMS
        sums.write_text(Manifest(tuple(upload.file for upload in uploads)).sums())
        uploads.append(Upload(sums, describe(sums, SUMS)))
        with self.hub() as hub:
            hub.create(TARGET)
            hub.make_public(TARGET)
            commit = publish(hub, TARGET, uploads, message=f"Demo ({tag})")
            hub.tag(TARGET, tag, commit)
        self.write_lock(files, tag, commit)
        return commit

    def write_lock(self, files: tuple[File, ...], tag: str, commit: str | None) -> None:
        lock = Lock(
            LockedBase("demo/base", "c" * 40, "d" * 64),
            LockedRecipe("mixed", 1, "e" * 64, "error"),
            Manifest(files),
            800,
            450,
            4.5,
            (),
            (),
            {},
            LockedTarget(TARGET.id, tag, commit),
        )
        (self.folder / "release.lock.json").write_text(lock.to_json())
