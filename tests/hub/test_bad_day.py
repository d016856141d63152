"""Every row of docs/bad-day.md, made to happen: what is seen, the exit code, and what the repository holds then."""

from __future__ import annotations

import io
import itertools
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sending
from rich.console import Console

from pipeline.console.messages import show_error
from pipeline.errors import PipelineError
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.publish import publish
from pipeline.hub.retry import Patient
from pipeline.manifest import describe

PAGE = Path(__file__).parents[2] / "docs" / "bad-day.md"
MODEL, BASE = Repository("demo/model"), Repository("demo/base")
TOKEN = "hf_NobodyMaySeeThisToken"
CARD = b"---\nlicense: mit\n---\n# Hello\n"
_FIRST = (1,)
_AROUND = ("*/commit/*", "*/tag/*", "*/settings")
_GATE = {"xet": "*/xet-write-token/*", "lfs": "*/preupload/*"}
_EXPIRED = {
    "xet": Fault("status", sending.BYTES["xet"], status=401, nth=_FIRST),
    "lfs": Fault("expired", sending.BYTES["lfs"], "PUT", nth=_FIRST),
}
_NO_XET = "Xet is out of order"


def days(way):
    """What goes wrong, by the way in which large files are sent; every rule has to happen."""
    asked = (*sending.ASKED[way], *_AROUND)
    # What the library of Xet asks again by itself nobody sees, so it goes wrong until that gives up, and once more.
    often = tuple(range(1, sending.LIBRARYS_OWN + 2)) if way == "xet" else _FIRST
    found = {
        "the connection ends before the Hub has done anything": [Fault("drop", part, nth=_FIRST) for part in asked],
        "the connection ends in the middle of a file": [
            Fault("drop", sending.BYTES[way], sending.METHOD[way], when="middle", nth=often),
            Fault("drop", "/signed/*", "GET", when="middle", nth=_FIRST),
        ],
        "the Hub does its work and the answer is lost": [Fault("drop", p, when="after", nth=_FIRST) for p in asked],
        "the answer to the commit is lost": [Fault("drop", "*/commit/*", when="after", nth=_FIRST)],
        "the Hub says nothing for ever": [
            Fault("stall", sending.LAST[way], seconds=3600, nth=_FIRST),
            Fault("stall", "*/tag/*", seconds=3600, nth=_FIRST),
        ],
        "the Hub is out of order for a while": [Fault("status", nth=(3, 4, 5, 11))],
        "the Hub is out of order for longer": [Fault("status", "*/commit/*")],
        "the network is gone": [Fault("drop", "*/batch")],
        "too many requests, and the Hub says how long to wait": [
            Fault("status", "/api/*", status=429, headers={"Retry-After": "9"}, nth=(2,)),
            Fault("status", "*/commit/*", status=429, headers={"RateLimit": '"api";r=0;t=90'}, nth=_FIRST),
            Fault("status", sending.BYTES[way], status=429, nth=often),
        ],
        "too many requests, and the wait is longer than our patience": [
            Fault("status", "*/batch", status=429, headers={"Retry-After": "7200"})
        ],
        "an answer is cut off, or comes from somebody in between": [
            Fault("truncated", "/api/*", nth=(1, 4)),
            *(Fault("truncated", part, nth=_FIRST) for part in sending.ASKED["xet"] if way == "xet"),
        ],
        "the token is not valid": [Fault("status", "*/whoami-v2", status=401, message="Invalid credentials")],
        "the token may not write": [Fault("status", _GATE[way], status=403, message="Forbidden")],
        "the account is full": [Fault("quota", "*/batch")],
        "the Hub does not accept the card": [],
        "the repository disappears": [
            Fault("status", "*/revision/*", status=404, headers={"X-Error-Code": "RepoNotFound"}, nth=(2,))
        ],
        "a signed address expires, or the token for Xet does": [
            _EXPIRED[way],
            Fault("expired", "/signed/*", "GET", nth=_FIRST),
        ],
        _NO_XET: [Fault("status", sending.BYTES["xet"])],
        "the link is slow": [
            Fault("slow", sending.BYTES[way], sending.METHOD[way], rate=2_000_000),
            Fault("slow", "/signed/*", "GET", rate=2_000_000),
        ],
        "a download is cut off": [Fault("truncated", "/signed/*", "GET", nth=_FIRST)],
        "a download arrives with a flipped bit": [Fault("corrupted", "/signed/*", "GET", nth=_FIRST)],
        "the Hub drops bytes that were sent ahead of the commit": [
            Fault("collected", "*/commit/*", blobs=1, nth=_FIRST)
        ],
        "somebody else commits a file that is no part of the release": [
            Fault("moved", "*/commit/*", file="theirs.txt", nth=_FIRST)
        ],
        "somebody else commits a file of the release": [Fault("moved", "*/commit/*", file="README.md", nth=_FIRST)],
    }
    if way == "lfs":
        del found[_NO_XET]  # which is not asked for anything
    return found


DAYS = [pytest.param(way, what, id=f"{way}-{what}") for way in ("xet", "lfs") for what in days(way)]


def rows():
    """What the page says of each: what is seen, the exit code, what to do."""
    table = re.findall(r"^\| (.+) \| (.+) \| (\d+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {what: (seen, int(code), hint) for what, seen, code, hint in table}


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


@dataclass
class Release:
    """A small release, by the very calls that a whole one makes, in their order."""

    folder: Path
    server: LocalHub
    uploads: list[Upload]
    seen: list[str] = field(default_factory=list)
    call_seconds: float = 60

    def run(self) -> int:
        """The exit code; what a person would see is added to `seen`."""
        hub = Patient(HuggingFace(self.server.endpoint, TOKEN), call_seconds=self.call_seconds, told=self.seen.append)
        try:
            hub.whoami()
            for file in hub.manifest(BASE, "main"):
                hub.download(BASE, "main", file, self.folder / file.path, lambda *_, **__: None)
            created = hub.head(MODEL) is None
            if created:
                hub.create(MODEL)
            for upload in self.uploads:
                if upload.file.path.endswith(".safetensors"):
                    hub.preupload(MODEL, upload, lambda _: None)
            hub.validate_card(next(u.source for u in self.uploads if u.file.path == "README.md").read_text())
            commit = publish(hub, MODEL, self.uploads, message="v2", note=self.seen.append)
            hub.tag(MODEL, "v2", commit)
            hub.make_public(MODEL)
        except PipelineError as error:
            shown = io.StringIO()
            show_error(error, Console(file=shown, width=1000))
            self.seen.append(shown.getvalue())
            return error.exit_code
        return 0

    def holds(self, contents: dict[str, bytes]) -> bool:
        tree = self.server.store.tree(MODEL, self.server.store.resolve(MODEL, "main"))
        there = {path: sending.stored(self.server.store, entry.sha256) for path, entry in tree.items()}
        return {path: content for path, content in there.items() if path != ".gitattributes"} == contents


def written(folder, contents):
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [Upload(folder / name, describe(folder / name, name)) for name in contents]


OLD = {"README.md": CARD, "stale.txt": b"old", "model-1.safetensors": os.urandom(100_000)}
NEW = {"README.md": CARD + b"new", "config.json": b"{}"} | {
    f"model-{n}.safetensors": os.urandom(100_000) for n in (1, 2, 3)
}


@pytest.fixture
def release(tmp_path, way):
    """The second release of a repository that holds the first one."""
    with LocalHub(tmp_path / "hub") as server:
        hub = HuggingFace(server.endpoint, TOKEN)
        for repository in (MODEL, BASE):
            hub.create(repository)
            publish(hub, repository, written(tmp_path / repository.id, OLD), message="v1")
        server.requests.clear()
        (tmp_path / "downloaded").mkdir()
        yield Release(tmp_path / "downloaded", server, written(tmp_path / "new", NEW))


def test_the_page_and_the_tests_tell_of_the_same_days():
    assert list(rows()) == list(days("xet"))
    assert {*rows()} - {*days("lfs")} == {_NO_XET}


@pytest.mark.parametrize(("way", "what"), DAYS, indirect=["way"])
def test_a_bad_day(release, way, what):
    seen, code, hint = rows()[what]
    faults = days(way)[what]
    release.server.faults.add(*faults)
    if what == "the Hub says nothing for ever":
        release.call_seconds = 1
    good = release.uploads[0]
    if what == "the Hub does not accept the card":
        (release.uploads[0],) = written(release.folder / "bad", {"README.md": b"---\n- a list\n---\n"})

    assert release.run() == code, release.seen
    everything = "\n".join(release.seen)
    for words in (*quoted(seen), *quoted(hint)):
        assert words in everything
    assert quoted(seen) or not everything
    happened = {fired.rule for fired in release.server.faults.fired}
    assert happened == {*range(1, len(faults) + 1)}, "it did not happen"
    theirs = {"README.md": b"README.md, as somebody else wants it\n"} if "of the release" in what else {}
    assert release.holds(NEW if code == 0 else OLD | theirs)

    release.uploads[0] = good
    release.server.faults.clear()
    assert release.run() == 0, release.seen
    assert release.holds(NEW)
    assert release.server.store.refs(MODEL).tags["v2"] == release.server.store.resolve(MODEL, "main")
    assert all((release.folder / name).read_bytes() == content for name, content in OLD.items())


def test_nobody_sees_the_token(release, way, caplog, tmp_path):
    """On a day on which everything goes wrong, in nothing that is written, logged or said."""
    with caplog.at_level("DEBUG"):
        for fault in itertools.chain(*days(way).values()):
            release.server.faults.add(replace(fault, nth=(), chance=0.5, seconds=0.01, most=3))
        for _ in range(30):
            if release.run() == 0:
                break
    assert len(release.server.faults.by_kind()) > 5
    assert release.holds(NEW)
    assert caplog.text
    assert TOKEN not in caplog.text + "".join(release.seen) + "".join(map(str, release.server.faults.fired))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
