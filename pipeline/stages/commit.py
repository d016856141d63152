"""What a release leaves in git: which commit its inputs are from, and one commit and one tag for what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import repository
from pipeline.errors import UsageError
from pipeline.lock import Lock, LockedInputs
from pipeline.release.find import (
    elsewhere_file,
    evidence_file,
    imported_file,
    lock_file,
    notes_file,
    recipe_file,
    release_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.release.load import Asked
    from pipeline.stages.job import Folders


def tag(asked: Asked) -> str:
    """What names the commit of a release in its repository; `target.tag` names the one on the Hub."""
    return f"{asked.name}-{asked.release.target.tag}"


def locked_inputs(asked: Asked, folders: Folders) -> LockedInputs | None:
    """Where the inputs come from, as the lock and the card tell it; None outside of git."""
    found = repository.last_change(folders.root, _inputs(asked))
    return LockedInputs(*found) if found else None


def check(asked: Asked, folders: Folders) -> None:
    """`UsageError` for everything in the release repository that would keep `record` from its work, before any task."""
    folder = f"releases/{asked.name}"
    repository.check_recordable(folders.root, _made(asked), (folder, *_inputs(asked)), tag(asked))


def check_new(asked: Asked, folders: Folders, remade: Sequence[str]) -> None:
    """`UsageError` where a release that is recorded already would be made again: `remade` are the tasks that do."""
    taken = repository.tagged(folders.root, tag(asked))
    if taken and remade:
        raise UsageError(
            f"the tag {tag(asked)} is at commit {taken[:12]} already, and {remade[0]} would run again",
            hint="A tag never moves: raise target.tag in release.yaml, or leave out --commit.",
        )


def record(asked: Asked, folders: Folders) -> str:
    """The commit of what happened, made and tagged now unless an earlier run came so far."""
    lock = Lock.from_json((folders.root / lock_file(asked.name)).read_text(), lock_file(asked.name))
    target = lock.target
    message = (
        f"Release {tag(asked)}\n\n{asked.release.title}, published as {target.repo} at {target.tag}.\n\n"
        f"Hub-commit: {target.commit}\n"
    )
    return repository.record(folders.root, _made(asked), tag(asked), message)


def _inputs(asked: Asked) -> tuple[str, ...]:
    """What a person wrote and the card is made from; files that are not there are harmless."""
    recipe, text = asked.recipe, asked.release.evaluate.text.path
    files = [release_file(asked.name), notes_file(asked.name), imported_file(asked.name), "templates"]
    files += [recipe_file(name) for name in (recipe.name, *recipe.extends)]
    for sibling in asked.release.siblings:
        files += [told(sibling) for told in (release_file, elsewhere_file, imported_file, evidence_file, lock_file)]
    return (*files, str(text)) if text else tuple(files)


def _made(asked: Asked) -> tuple[str, ...]:
    """What runs write into the release's folder."""
    folder = f"releases/{asked.name}"
    return (
        evidence_file(asked.name),
        lock_file(asked.name),
        *(f"{folder}/{name}" for name in ("README.md", "base.json", "assets")),
    )
