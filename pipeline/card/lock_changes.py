"""What changed from one lock to another: bytes by tensor class, memory, and every fact of how the result was made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.card import figures
from pipeline.card.changes import Change, Words, presence, relative
from pipeline.card.leaves import differing, leaves
from pipeline.card.word_diff import word_diff
from pipeline.release.metrics import PEAK_MEMORY, judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.lock import Lock
    from pipeline.manifest import File, Json, Manifest

# Told of elsewhere here, or repeated by what is; and the commits, which are others in every run.
_TOLD = {"schema", "bytes", "bits_per_weight", "classes", "memory", "rules", "recipe", "model", "waived", "inputs"}
_REPEATED = {"target.commit", "base.digest"}
_WEIGHTS = ".safetensors"


def size_changes(old: Lock, new: Lock) -> Iterator[Change]:
    """The sum first; its bits per weight stand in the note, as do the precisions of a class."""
    bits = " -> ".join(dict.fromkeys(figures.apart(old.bits_per_weight, new.bits_per_weight)))
    yield from _size("all weights", old.bytes, new.bytes, f"{bits} bits per weight", judge=True)
    classes = _classes(old), _classes(new)
    for name in {**classes[0], **classes[1]}:
        (size, precision), (other_size, other) = (side.get(name, (None, "")) for side in classes)
        if (size, precision) != (other_size, other):
            same = precision == other or not (precision and other)
            yield from _size(name, size, other_size, other or precision if same else f"{precision} -> {other}")
    memory = ({row.context: row.bytes for row in lock.memory} for lock in (old, new))
    before, after = memory
    for context in sorted({**before, **after}):
        yield from _size(f"memory at {context:,} tokens", before.get(context), after.get(context), judge=True)


def fact_changes(old: Lock, new: Lock) -> Iterator[Change]:
    for what, (before, after) in differing(_facts(old), _facts(new)).items():
        yield Change(what, presence(before, after), before, after)
    yield from _files(old.model, new.model)


def reason_changes(old: Lock, new: Lock) -> Iterator[Words]:
    before, after = reasons(old), reasons(new)
    for what in {**before, **after}:
        one, other = before.get(what), after.get(what)
        if one != other:
            yield Words(f"why {what}", presence(one, other), word_diff(one or "", other or ""))


def reasons(lock: Lock) -> dict[str, str]:
    """Why each rule of the recipe and each waiver is there, as far as that is said."""
    found = {_rule(rule.match, rule.layers): rule.why for rule in lock.rules}
    found |= {_waiver(waiver.threshold): waiver.why for waiver in lock.waived}
    return {what: why for what, why in found.items() if why}


def _size(what: str, old: int | None, new: int | None, note: str = "", *, judge: bool = False) -> Iterator[Change]:
    row = Change(what, presence(old, new), old, new, "bytes", 0.0, 0.0, relative(old, new), note=note)
    if old is None or new is None or not judge:
        yield row
    elif old != new:
        word = judged(PEAK_MEMORY, new - old, 0.0)
        yield Change(
            what, "better" if word == "better" else "worse", old, new, "bytes", 0.0, 0.0, relative(old, new), note=note
        )


def _classes(lock: Lock) -> Mapping[str, tuple[int, str]]:
    """Bytes, and what they are stored as, most bytes first."""
    found: dict[str, tuple[int, str]] = {}
    for row in sorted(lock.classes, key=lambda row: -row.bytes):
        size, precision = found.get(row.name, (0, ""))
        found[row.name] = size + row.bytes, f"{precision}, {row.precision}" if precision else row.precision
    return found


def _facts(lock: Lock) -> dict[str, Json]:
    written: dict[str, Json] = json.loads(lock.to_json())
    recipe = lock.recipe
    facts: dict[str, Json] = {"recipe": f"{recipe.name}, version {recipe.version}, {recipe.digest[:12]}"}
    facts["recipe, otherwise"] = recipe.otherwise
    for rule in lock.rules:
        facts[_rule(rule.match, rule.layers)] = (
            f"{rule.precision}, {rule.modules:,} {'module' if rule.modules == 1 else 'modules'}"
        )
    for waiver in lock.waived:
        facts[_waiver(waiver.threshold)] = f"asked {waiver.asked}, measured {waiver.measured}"
    others = leaves({key: value for key, value in written.items() if key not in _TOLD})
    return facts | {path: value for path, value in others.items() if path not in _REPEATED}


def _rule(match: str, layers: str) -> str:
    return f"rule {match}" + (f" in layers {layers}" if layers else "")


def _waiver(threshold: str) -> str:
    return f"waived: {threshold}"


def _files(old: Manifest, new: Manifest) -> Iterator[Change]:
    """Each by itself but for the weights, of which there may be hundreds, and which change together."""
    before, after = ({file.path: file for file in manifest if not _is_weights(file.path)} for manifest in (old, new))
    for path in sorted({**before, **after}):
        one, other = before.get(path), after.get(path)
        if one is None or other is None or not one.same_content(other):
            digest, another = (_digest(file) for file in (one, other))
            if digest or another:
                yield Change(f"file {path}", presence(digest, another), digest, another)
    counts, others = (sum(_is_weights(file.path) for file in files) for files in (old, new)), new - old
    count, another_count = counts
    if altered := sum(_is_weights(file.path) and bool(file.sha256) for file in others):
        yield Change("weight files", "changed", count, another_count, note=f"{altered} with other bytes")


def _digest(file: File | None) -> str | None:
    """None where it is not known, as in a plan."""
    return (file and (file.sha256 or file.git_sha1)) or None


def _is_weights(path: str) -> bool:
    return path.endswith(_WEIGHTS)
