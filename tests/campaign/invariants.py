"""What must be true of a release whatever happened to it; each function says what was not, and nothing when all was."""

from __future__ import annotations

import signal
from itertools import pairwise
from typing import TYPE_CHECKING

from world import ACCOUNT, TARGET, TOKEN, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rehearsal import Happened
    from world import Reference

_MADE_AGAIN = {"README.md", "SHA256SUMS", "evidence.json", "release.lock.json"}
"""Files that say when something was measured, or hold the digest of one that does."""

_TRANSFERS = ("/signed/", "/xet/")
"""What Xet could not register is sent again, though it had arrived."""
_PACKED = 1.01
"""Bytes of a xorb over those of the file in it, at most: every chunk has a header."""
_LOOKS = {"upload/intention", "upload/repository", "upload/head"}


def violations(happened: Happened, reference: Reference) -> list[str]:
    """Every broken invariant of one rehearsal, in a sentence each."""
    checks = (ends(happened), commits(happened), states(happened), final(happened, reference), finished_once(happened))
    return [*(line for check in checks for line in check), *sent(happened, reference), *secrets(happened)]


def ends(happened: Happened) -> Iterator[str]:
    """A run ends by our kill, done, or because of a fault that the Hub answered with; the last one is done.

    A part of a file that arrives broken twice has to be taken for a file that is broken on the Hub: exit code 2.
    """
    for number, (code, fired) in enumerate(zip(happened.codes, happened.fired_in, strict=True), 1):
        broken = sum(each.fault.kind in {"corrupted", "truncated"} for each in fired)
        if code not in {0, -signal.SIGKILL} and not (code == 4 and fired) and not (code == 2 and broken > 1):
            yield f"run {number} ended with {code} after {len(fired)} faults"
    if happened.codes[-1] != 0:
        yield f"it was not done after {len(happened.codes)} runs"
    if happened.again != 0 or "Nothing to do" not in happened.said_again:
        yield f"one more run did something, and ended with {happened.again}"


def commits(happened: Happened) -> Iterator[str]:
    """Every commit of ours holds the old release or the new one, whole, and the new one is made once."""
    new = published(happened)
    ours = [tree(happened.place.store, commit) for commit in _ours(happened)]
    if strange := sum(held not in (happened.before, new) for held in ours):
        yield f"{strange} of our commits hold neither the old release nor the new one"
    overtaken = sum(fired.fault.kind == "moved" for fired in happened.fired)
    if not 1 <= ours.count(new) <= 1 + overtaken:
        yield f"{ours.count(new)} commits hold the new release"


def states(happened: Happened) -> Iterator[str]:
    """Whoever looked at any time saw a repository with a release, and tags that name one and do not move."""
    store = happened.place.store
    releases = {commit for commit in _ours(happened) if tree(store, commit) in (happened.before, published(happened))}
    for state in happened.states:
        seen = {commit.id for commit in store.history(TARGET, state.head)}
        if not state.private and not seen & releases:
            yield f"at {state.head[:12]} everybody could see a repository without a release"
        for tag in sorted(tag for tag, commit in state.tags.items() if commit not in releases):
            yield f"the tag {tag} named a commit that is no whole release"
    for earlier, later in pairwise(happened.states):
        if moved := sorted(tag for tag in earlier.tags if later.tags.get(tag) != earlier.tags[tag]):
            yield f"the tags {moved} moved"
        if later.private and not earlier.private:
            yield "a public repository became private"


def final(happened: Happened, reference: Reference) -> Iterator[str]:
    """What is published is what an undisturbed release publishes, and what its own sums say."""
    store = happened.place.store
    new = published(happened)
    for path in sorted(new.keys() | reference.tree.keys()):
        same = new.get(path) == reference.tree.get(path)
        if path not in new or path not in reference.tree or not (same or path in _MADE_AGAIN):
            yield f"{path} is not what an undisturbed release publishes"
    if store.refs(TARGET).private:
        yield "the repository is still private"
    if "SHA256SUMS" in new:
        lines = store.blobs.path(new["SHA256SUMS"]).read_text().splitlines()
        sums = {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
        if sums != {path: digest for path, digest in new.items() if path != "SHA256SUMS"}:
            yield "SHA256SUMS says something else than the repository holds"
    for path in new:
        entry = store.tree(TARGET, store.resolve(TARGET, "main")).get(path)
        if entry and store.large_size(entry.sha256) != entry.size:
            yield f"the Hub does not hold the bytes of {path}"


def finished_once(happened: Happened) -> Iterator[str]:
    """A task that was done runs again only where its files rotted or the Hub dropped its bytes.

    Looking at the repository is no work: it is done again whenever that may have changed.
    """
    kinds = {fired.fault.kind for fired in happened.fired}
    for task in happened.redone:
        rotten = task.rpartition("/")[2] in happened.rotten
        blobs_dropped = task.startswith("upload/model") and "collected" in kinds
        if not (task in _LOOKS or rotten or blobs_dropped):
            yield f"{task} was finished and ran again"


def sent(happened: Happened, reference: Reference) -> Iterator[str]:
    """Bytes are sent again only of the shards that were on their way when something happened."""
    if happened.sent_again:
        yield f"{len(happened.sent_again)} blobs were sent although the Hub held them"
    if (again := happened.sent - reference.sent) > (allowed := allowance(happened, reference)):
        yield f"{again} bytes of large files were sent again, and {allowed} were on their way"


def allowance(happened: Happened, reference: Reference) -> int:
    """Bytes of shards that could be on their way whenever a run ended, or were when a fault hit their transfer."""
    hit = sum(fired.method in {"POST", "PUT"} and fired.path.startswith(_TRANSFERS) for fired in happened.fired)
    return round((happened.on_the_way + hit * reference.largest + happened.dropped) * _PACKED)


def secrets(happened: Happened) -> Iterator[str]:
    """The token is nowhere: not in what was said, and in no file."""
    for path in sorted(happened.place.folder.rglob("*")):
        if path.is_file() and path.suffix != ".safetensors" and TOKEN.encode() in path.read_bytes():
            yield f"the token is in {path.relative_to(happened.place.folder)}"


def _ours(happened: Happened) -> list[str]:
    """The commits that the releases made, and nobody else; the Hub's own first one is not among them."""
    store = happened.place.store
    history = store.history(TARGET, store.resolve(TARGET, "main"))
    return [commit.id for commit in history if commit.author == ACCOUNT and commit.parent]


def published(happened: Happened) -> Mapping[str, str]:
    """The files at the tag that was not there before; empty when there is none."""
    store = happened.place.store
    tags = store.refs(TARGET).tags if store.has(TARGET) else {}
    first = happened.states[0].tags if happened.states else {}
    return next((tree(store, tag) for tag in tags if happened.before == {} or tag not in first), {})
