"""Every row of the table in docs/publishing.md, made to happen to each of its commands, and what they say then."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import sending
from signing_keys import key_pair
from small_release import CARD, MODEL, SHARDS, TARGET, SmallRelease

from pipeline.cli import main
from pipeline.hub.connect import LOCAL_TOKEN
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.garbage import collect
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Upload
from pipeline.hub.retry import NO_WAITING
from pipeline.manifest import describe
from pipeline.release.signing import Signing
from pipeline.stages.signature import KEY, Signer

if TYPE_CHECKING:
    from conftest import ReleaseRepository

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PAGE = Path(__file__).parents[2] / "docs" / "publishing.md"
COMMANDS = {
    "release": ("release", "demo"),
    "verify": ("verify", "demo"),
    "rollback": ("rollback", "demo", "--to", "v1"),
    "yank": ("yank", "demo", "--reason", "why"),
}
NEW = {**MODEL, SHARDS[0]: b"z" * 20_000}


def rows():
    """What the page says of each: commands, what is seen, the exit code, what to do."""
    page = PAGE.read_text().partition("## What can go wrong")[2]
    table = re.findall(r"^\| (.+) \| (.+) \| (.+) \| (\d+) \| (.+) \|$", page, re.MULTILINE)
    return {
        what: (quoted(commands), quoted(seen), int(code), quoted(hint)) for what, commands, seen, code, hint in table
    }


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def linked_or_copied(source, target):
    """Large files are never changed in place."""
    return os.link(source, target) if source.endswith(".safetensors") else shutil.copy2(source, target)


@dataclass(frozen=True)
class World:
    """A release repository, the Hub that it publishes to, and what may be done to both and to the machine."""

    small: SmallRelease
    server: LocalHub
    tokens: dict[str, str]
    released: ReleaseRepository
    patch: pytest.MonkeyPatch

    def faults(self, *faults):
        self.server.faults.add(*faults)

    def create(self, *, private=False):
        self.server.store.create(TARGET, private=private, author="demo")

    def finish(self):
        """Everything is made, as it was in another workspace, and nothing published: so only publishing runs."""
        root = self.small.root
        shutil.rmtree(root / "releases")
        shutil.copytree(self.released.root / "releases", root / "releases", copy_function=shutil.copy2)
        work = root / ".pipeline/releases/demo"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.released.workspace / "releases/demo", work, copy_function=linked_or_copied)
        shutil.rmtree(work / "records/upload")


def may_not_write(world):
    world.finish()
    world.create()
    world.faults(Fault("status", "*/auth-check/write", status=403, message="read only"))


def may_not_create(world):
    world.finish()
    world.tokens[LOCAL_TOKEN] = "somebody"


def tagged_by_somebody(world):
    world.finish()
    world.create()
    world.server.store.create_ref(TARGET, "refs/tags/v1", world.server.store.resolve(TARGET, "main"))


def withdrawn(world):
    world.small.release()
    assert main(COMMANDS["yank"]) == 0
    world.finish()


def full_disk(world):
    world.patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))


def somebodys_weights(world):
    world.finish()
    (world.small.model / "model-best.safetensors").write_bytes(b"x")


def private_before(world):
    world.finish()
    world.create(private=True)


def lost(world):
    """The first run sends everything and cannot commit; then one of the files is dropped."""
    world.finish()
    world.faults(Fault("status", "*/commit/*", status=403, nth=(1,)))
    assert main(COMMANDS["release"]) == 4
    assert len(collect(world.server.store, most=1)) == 1
    world.server.requests.clear()


def never_published(world):
    world.small.write_lock((), "v1", None)


def altered_here(world):
    world.small.release()
    (world.small.model / SHARDS[0]).write_bytes(b"x" * len(MODEL[SHARDS[0]]))


def altered_there(world):
    """Somebody else put the tag on another commit."""
    first, lock = world.small.release(), world.small.lock
    with world.small.hub() as hub:
        hub.untag(TARGET, "v1")
    world.small.release(model=NEW)
    world.small.write_lock(lock.model.files, "v1", first)


def ask_for_a_signature(world):
    key_pair(world.small.root)
    release = world.small.folder / "release.yaml"
    release.write_text(f"{release.read_text()}\nsigning: {{public_key: release.pub}}\n")


def keyless(world):
    world.patch.delenv(KEY, raising=False)
    world.finish()
    ask_for_a_signature(world)


def unsigned(world):
    world.small.release()
    ask_for_a_signature(world)


def signed_by_somebody(world):
    unsigned(world)
    root, head = world.small.root, world.small.tags()["v1"]
    key_pair(root, "other")
    world.patch.setenv(KEY, str(root / "other.key"))
    path = root / "model.sig"
    path.write_bytes(Signer(Signing(public_key="other.pub"), root).sign("demo/model", world.small.lock.model.files))
    with world.small.hub() as hub:
        signed = hub.commit(TARGET, [Upload(path, describe(path, path.name))], [], parent=head, message="Signed")
        hub.untag(TARGET, "v1")
        hub.tag(TARGET, "v1", signed)
    world.small.write_lock(world.small.lock.model.files, "v1", signed)


def tagged_otherwise(world):
    world.small.release("v2")


def two_releases(world):
    first = world.small.release()
    world.small.release("v2", CARD.replace("small", "better"), NEW)
    world.small.write_lock((), "v1", first)


def overtaken(world):
    two_releases(world)
    world.faults(Fault("moved", "*/commit/*", file="README.md", nth=(1,)))


def joined(world):
    two_releases(world)
    world.faults(Fault("moved", "*/commit/*", file="theirs.txt", nth=(1,)))


def not_ours(world):
    world.small.release()
    world.small.write_lock((), "v1", "0" * 40)


def unheard(world):
    two_releases(world)
    world.faults(*UNHEARD)


def unheard_release(world):
    world.finish()
    world.faults(*UNHEARD, Fault("drop", "*/create", when="after", nth=(1,)))


FIRES = {
    (may_not_write, "release"): 1,
    (overtaken, "rollback"): 1,
    (joined, "rollback"): 1,
    (overtaken, "yank"): 1,
    (unheard, "rollback"): 1,
    (unheard, "yank"): 2,
    (unheard_release, "release"): 3,
}
UNHEARD = [Fault("drop", path, when="after", nth=(1,)) for path in ("*/commit/*", "*/tag/*")]
ROWS = {
    "the token may not write": {"release": may_not_write},
    "the repository is somebody else's to create": {"release": may_not_create},
    "the tag names a commit of somebody else": {"release": tagged_by_somebody},
    "the tag was withdrawn": {"release": withdrawn},
    "the disk will not hold base and result": {"release": full_disk},
    "somebody's weights lie among those of the release": {"release": somebodys_weights},
    "the private key is not there": {"release": keyless},
    "the repository was private before": {"release": private_before},
    "the Hub has lost what was sent": {"release": lost},
    "nothing was published yet, or the lock of before is checked out": {"verify": never_published},
    "a file here is not what the lock says": {"verify": altered_here},
    "a file on the Hub is not what the lock says": {"verify": altered_there},
    "the signature is missing": {"verify": unsigned},
    "the signature is by somebody else": {"verify": signed_by_somebody},
    "there is no such tag": {"rollback": tagged_otherwise},
    "somebody else commits a file of the older tag in between": {"rollback": overtaken},
    "somebody else commits any other file in between": {"rollback": joined},
    "somebody else commits in between": {"yank": overtaken},
    "the tag names a commit that this release did not make": {"yank": not_ours},
    "the answer of the Hub is lost": {"release": unheard_release, "rollback": unheard, "yank": unheard},
}


@pytest.fixture
def world(repository, seeded_hub, released, monkeypatch):
    monkeypatch.chdir(repository.root)
    monkeypatch.setenv(NO_WAITING, "1")
    repository.start_from(seeded_hub)
    tokens = {LOCAL_TOKEN: "demo"}
    with LocalHub(repository.hub, tokens=tokens) as server:
        yield World(SmallRelease(repository.root), server, tokens, released, monkeypatch)


def test_the_page_and_the_tests_tell_of_the_same_rows():
    assert {what: commands for what, (commands, *_) in rows().items()} == {what: list(of) for what, of in ROWS.items()}
    assert list(rows()) == list(ROWS)


@pytest.mark.parametrize(("what", "command"), [(what, command) for what, of in ROWS.items() for command in of])
def test_a_row(way, world, capsys, what, command):
    _, seen, code, hint = rows()[what]
    happens = ROWS[what][command]
    happens(world)
    fired = len(world.server.faults.fired)
    capsys.readouterr()

    assert main(COMMANDS[command]) == code
    said = " ".join("".join(capsys.readouterr()).split())
    for words in (*seen, *hint):
        assert words in said
    assert len(world.server.faults.fired) - fired == FIRES.get((happens, command), 0), "it did not happen"
    if happens is lost:
        [again] = re.findall(r"has dropped (\S+\.safetensors) before", said)
        size = (world.small.model / again).stat().st_size
        sent = sending.sent(world.server.requests)
        if way == "lfs":
            assert sent == [size], "nothing else is sent again"
        else:  # which packs, and gives every chunk a header
            assert 0.95 * size < sum(sent) <= size * 1.001, "nothing else is sent again"
    if command == "release":
        assert world.server.store.has(TARGET, "v1") == (code == 0 or happens is tagged_by_somebody)
    elif happens is joined:
        assert world.small.tree() == world.small.tree("v1"), "theirs is removed"
    elif happens is unheard:
        assert world.small.titles()[1:] == ["Demo (v2)", "Demo (v1)", "initial commit"], "one commit, made once"
