"""Where every rehearsal begins: a small release repository and its Hub, and what an undisturbed release publishes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import tiny_base
from schedules import SCENES, UPLOADS, WAYS

from pipeline.hub.local.server import LocalHub
from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository
from pipeline.hub.retry import NO_WAITING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schedules import Scene, Way

    from pipeline.hub.local.app import RequestLine

NAME, ACCOUNT, TOKEN = "tiny", "demo", "hf_NobodyMaySeeThisToken"
BASE, TEXT = Repository("demo/tiny"), Repository("demo/text", "dataset")
TARGET = Repository("demo/tiny-MLX")
_DATE = "2026-01-01T00:00:00Z"
_RECIPE = "version: 1\nsummary: for campaigns\nrules: []\notherwise: {{bits: {bits}, why: for campaigns}}\n"
_RELEASE = """\
title: Tiny
summary: Random weights, for campaigns.
license: mit
base: {{repo: demo/tiny, revision: {base}}}
recipe: {recipe}
target: {{repo: demo/tiny-MLX, tag: {tag}, shard_size: {shard} kB}}
evaluate:
  text: {{repo: demo/text, revision: {text}, file: evaluation.txt, license: cc0-1.0, attribution: nobody}}
  window: 32
  windows: 2
  prompts: [hello]
  max_tokens: 4
  serve: false
thresholds: {{perplexity_increase: 100 %, generation: false}}
"""


@dataclass(frozen=True)
class Reference:
    """What an undisturbed release sent, in bytes of shards, its largest one, and what it published: SHA-256 by path."""

    sent: int
    largest: int
    tree: Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """One copy of the world: a release repository, the folder of the Hub, and what the client remembers."""

    folder: Path

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def hub(self) -> Path:
        return self.folder / "hub"

    @property
    def workspace(self) -> Path:
        return self.repository / ".pipeline" / "releases" / NAME

    @property
    def store(self) -> Store:
        return Store(self.hub, readonly=True)

    def command(self, endpoint: str, way: Way, said: Path) -> subprocess.Popen[bytes]:
        """Start `pipeline release`; everything that it prints is added to `said`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | {
            "HF_ENDPOINT": endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(self.folder / "home"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1" if way == "lfs" else "0",
            "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",
            NO_WAITING: "1",
        }
        program = [sys.executable, str(Path(__file__).parent / "impatient.py"), "release", NAME]
        with said.open("ab") as output:
            return subprocess.Popen(
                program, cwd=self.repository, env=environment, stdout=output, stderr=subprocess.STDOUT
            )


class World:
    """The beginnings of all scenes below `folder`, made once, and copied for every rehearsal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.references: dict[tuple[Scene, Way], Reference] = {}

    def prepare(self) -> None:
        """Make the beginnings by undisturbed releases, each checked to end well; about a minute."""
        begun = Place(self._folder / "first")
        _write_beginning(begun)
        for way in WAYS:
            published = self.copy("first", way, self._folder / f"next-{way}")
            self.references["first", way] = _release(published, way)
            _write_release(published, tag="v2", recipe="three", shard=700)
            shutil.copytree(published.folder, self._folder / f"elsewhere-{way}")
            shutil.rmtree(self._folder / f"elsewhere-{way}" / "repository" / ".pipeline")
            for scene in SCENES[1:]:
                tried = self.copy(scene, way, self._folder / "tried")
                self.references[scene, way] = _release(tried, way)
                shutil.rmtree(tried.folder)

    def copy(self, scene: Scene, way: Way, folder: Path) -> Place:
        """A copy to do anything with; what the Hub holds never changes in place, so it is linked."""
        source = Place(self._folder / ("first" if scene == "first" else f"{scene}-{way}"))
        shutil.copytree(source.folder, folder, ignore=lambda path, _: ["hub"] if Path(path) == source.folder else [])
        shutil.copytree(
            source.hub, folder / "hub", copy_function=os.link, ignore=shutil.ignore_patterns("lock", "commit.lock")
        )
        return Place(folder)


def tree(store: Store, revision: str) -> dict[str, str]:
    """SHA-256 by path at a revision of the target, but for the file that the Hub itself puts there."""
    found = store.tree(TARGET, store.resolve(TARGET, revision))
    return {path: entry.sha256 for path, entry in found.items() if path != ".gitattributes"}


def carries_shards(method: str, path: str) -> bool:
    """Whether a request brings the bytes of a shard to the Hub."""
    return any(method == a_method and fnmatchcase(path, a_path) for a_method, a_path in UPLOADS.values())


def bytes_of_shards(requests: Iterable[RequestLine]) -> int:
    return sum(each.received for each in requests if carries_shards(each.method, each.path))


def _release(place: Place, way: Way) -> Reference:
    said = place.folder / "said.txt"
    before = place.store.refs(TARGET).tags if place.store.has(TARGET) else {}
    with LocalHub(place.hub, tokens={TOKEN: ACCOUNT}) as hub:
        if place.command(hub.endpoint, way, said).wait():
            raise SystemExit(f"an undisturbed release failed:\n{said.read_text()}")
        said.unlink()
        (tag,) = place.store.refs(TARGET).tags.keys() - before.keys()
        shards = [place.workspace / "model" / path for path in tree(place.store, tag) if path.endswith(".safetensors")]
        largest = max(path.stat().st_size for path in shards)
        return Reference(bytes_of_shards(hub.requests), largest, tree(place.store, tag))


def _write_beginning(place: Place) -> None:
    base, text = place.folder / "base", place.folder / "evaluation.txt"
    place.folder.mkdir(parents=True)
    tiny_base.write(base, "llama", files=3, scale=0.02, hidden_size=256, num_hidden_layers=8, intermediate_size=512)
    (base / "chat_template.jinja").write_text("{% for message in messages %}{{ message['content'] }} {% endfor %}")
    text.write_text("hello " * 400)
    store = Store(place.hub)
    store.import_folder(BASE, {path.name: path for path in base.iterdir()}, "tiny", _DATE)
    store.import_folder(TEXT, {text.name: text}, "tiny", _DATE)
    shutil.rmtree(base)
    text.unlink()
    recipes = place.repository / "releases" / "recipes"
    recipes.mkdir(parents=True)
    for name, bits in (("four", 4), ("three", 3)):
        (recipes / f"{name}.yaml").write_text(_RECIPE.format(bits=bits))
    _write_release(place, tag="v1", recipe="four", shard=500)


def _write_release(place: Place, *, tag: str, recipe: str, shard: int) -> None:
    """Ask for a release; shard in kB."""
    commits = {"base": place.store.resolve(BASE, "main"), "text": place.store.resolve(TEXT, "main")}
    path = place.repository / "releases" / NAME / "release.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(_RELEASE.format(tag=tag, recipe=recipe, shard=shard, **commits))
