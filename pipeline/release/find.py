"""The release repository on disk: its root, its releases and its recipes by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.release.places import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RESERVED = "recipes"


def find_root(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds `releases/`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / "releases").is_dir():
            return folder
    raise UsageError(
        f"there is no folder `releases` in {start} or above it",
        hint="Change to a release repository, or begin one here with `pipeline init NAME --base OWNER/MODEL`.",
    )


def find_or_begin(start: Path) -> Path:
    """Like `find_root`; where there is none above, `start` itself, in which `releases/` can be made."""
    try:
        return find_root(start)
    except UsageError:
        return start.resolve()


def release_file(name: str) -> str:
    """Where a release is described, relative to the root."""
    return f"releases/{name}/release.yaml"


def lock_file(name: str) -> str:
    """Where it is written what happened in a release, relative to the root."""
    return f"releases/{name}/release.lock.json"


def evidence_file(name: str) -> str:
    """Where every measured figure is, relative to the root."""
    return f"releases/{name}/evidence.json"


def imported_file(name: str) -> str:
    """Where figures are that were measured by other programs or elsewhere, relative to the root."""
    return f"releases/{name}/imported.json"


def notes_file(name: str) -> str:
    """What a person says about a release and what changed in it, relative to the root."""
    return f"releases/{name}/notes.md"


def elsewhere_file(name: str) -> str:
    """Where a model is described that was made by others, relative to the root."""
    return f"releases/{name}/elsewhere.yaml"


def recipe_file(name: str) -> str:
    """Where a recipe is described, relative to the root."""
    return f"releases/{RESERVED}/{name}.yaml"


def release_names(root: Path) -> tuple[str, ...]:
    """Every release of the repository, in order of name."""
    found = (path.parent.name for path in (root / "releases").glob("*/release.yaml"))
    return tuple(sorted(name for name in found if name != RESERVED))


def elsewhere_names(root: Path) -> tuple[str, ...]:
    """Every model that was made by others and is only compared with, in order of name."""
    found = (path.parent.name for path in (root / "releases").glob("*/elsewhere.yaml"))
    return tuple(sorted(name for name in found if name not in {RESERVED, *release_names(root)}))


def recipe_names(root: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (root / "releases" / RESERVED).glob("*.yaml")))


def check_release(root: Path, name: str) -> str:
    """`name` itself when there is such a release; never a way out of the folder `releases`."""
    if name in elsewhere_names(root):
        raise UsageError(
            f"{name} was made elsewhere: there is no {release_file(name)}",
            hint="Releases name it under `siblings`, to stand beside it on their cards.",
        )
    return _check("release", name, release_names(root), "releases/NAME/release.yaml")


def check_figures(root: Path, name: str) -> str:
    """Like `check_release`, for what only figures are kept of too."""
    return _check("release", name, (*release_names(root), *elsewhere_names(root)), "releases/NAME/release.yaml")


def check_recipe(root: Path, name: str) -> str:
    return _check("recipe", name, recipe_names(root), recipe_file("NAME"))


def _check(kind: str, name: str, known: Sequence[str], where: str) -> str:
    if name in known:
        return name
    hint = (
        f"There {'is' if len(known) == 1 else 'are'}: {', '.join(known)}."
        if known
        else f"Begin one by writing {where}."
    )
    raise UsageError(f"there is no {kind} '{name}'{did_you_mean(name, known)}", hint=hint)
