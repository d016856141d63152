"""What `pipeline recipe` does: show, import or propose a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import console
from pipeline.card.figures import quantity
from pipeline.commands.opening import folders_of, hub_of
from pipeline.errors import UsageError
from pipeline.manifest import write_atomically
from pipeline.release.candidates import parse_allowed, parse_weighted
from pipeline.release.find import find_root, recipe_file
from pipeline.release.load import load_recipe, load_release
from pipeline.release.overrides import import_overrides, parse_value
from pipeline.release.overview import overview
from pipeline.release.recipe import assign
from pipeline.release.tensor_types import import_tensor_types, is_tensor_types
from pipeline.release.written import check_name, parse_size
from pipeline.stages.job import base_of
from pipeline.stages.solve import Asked, Watcher, propose_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.release.draft import Draft
    from pipeline.release.recipe import Decision

_LARGEST = 1 << 20


def show(name: str, release: str, workspace: Path | None, *, as_json: bool) -> int:
    from pipeline.weights.architecture import modules

    folders = folders_of(workspace)
    recipe, asked = load_recipe(folders.root, name), load_release(folders.root, release)
    with hub_of(asked, folders, writable=False) as hub:
        base = base_of(asked, folders, hub, keep=False)
    rows = overview(assign(recipe, modules(base)))
    if as_json:
        shown = {"repo": base.repo, "revision": base.revision}
        console.show_json({"recipe": name, "base": {**shown}, "classes": [row.to_json() for row in rows]})
    else:
        console.show_recipe(f"{name} on {base.repo} at {base.revision[:12]}", rows, recipe_file(name))
    return 0


def import_file(path: Path, name: str | None, *, kind: str | None, otherwise: str | None, layers: int | None) -> int:
    text = _text(path)
    decision = _decision(otherwise)
    if layers is not None and not 1 <= layers <= 1000:
        raise UsageError(f"--layers must be between 1 and 1000, not {layers}")
    if kind == "tensor-types" or (kind is None and is_tensor_types(text)):
        draft = import_tensor_types(text, path.name, layers, decision)
    else:
        draft = import_overrides(text, path.name, decision)
    _show_or_write(draft, name)
    return 0


def solve(
    release: str,
    workspace: Path | None,
    *,
    budget: str,
    allow: Sequence[str],
    weights: Sequence[str],
    name: str | None,
    as_json: bool,
) -> int:
    options = [*(f"--allow={text}" for text in allow), *(f"--weight={text}" for text in weights)]
    said = shlex.join(["pipeline", "recipe", "solve", release, f"--budget={budget}", *options])
    asked = Asked(_budget(budget), budget, said, tuple(map(parse_allowed, allow)), tuple(map(parse_weighted, weights)))
    if name is not None:
        _absent(find_root(Path.cwd()), name)
    folders = folders_of(workspace)
    described = load_release(folders.root, release)
    with hub_of(described, folders, writable=False) as hub:
        base = base_of(described, folders, hub, keep=False)
    progress = _Measuring()
    watcher = Watcher(progress.begin, progress.advance)
    proposal = propose_recipe(base, folders.work(release), asked, watcher)
    if as_json:
        console.show_json(proposal.to_json())
    else:
        console.show_shares(
            proposal.shares, proposal.solution, proposal.budget, proposal.bits_per_weight, aside=name is None
        )
    if name is not None or not as_json:
        _show_or_write(proposal.draft, name)
    return 0


class _Measuring:
    """Says every tenth how far the measuring is."""

    def __init__(self) -> None:
        self._total = self._done = 0

    def begin(self, weights: int) -> None:
        self._total = weights
        console.show_note(f"measuring {quantity(weights)} weights of the base model; what is measured is kept")

    def advance(self, weights: int) -> None:
        before, self._done = self._done, self._done + weights
        if self._done * 10 // self._total > before * 10 // self._total:
            console.show_note(f"measured {self._done * 100 // self._total} %")


def _budget(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--budget {error}") from None


def _absent(root: Path, name: str) -> Path:
    file = recipe_file(_checked(name))
    if (root / file).exists():
        raise UsageError(f"{file} exists", hint="Choose another --name, or remove that file first.")
    return root / file


def _show_or_write(draft: Draft, name: str | None) -> None:
    """On standard output, or as a new file that was read back once."""
    if name is None:
        console.show_text(draft.text())
        return
    root = find_root(Path.cwd())
    path = _absent(root, name)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, draft.text())
    load_recipe(root, name)
    console.show_note(f"{recipe_file(name)} is written; `pipeline recipe show {name} --for RELEASE` says what it does")


def _checked(name: str) -> str:
    try:
        return check_name(name)
    except ValueError as error:
        raise UsageError(f"--name {error}") from None


def _decision(value: str | None) -> Decision | None:
    if value is None:
        return None
    try:
        return parse_value(value)
    except ValueError as error:
        raise UsageError(f"--otherwise {error}") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            content = handle.read(_LARGEST + 1)
        text = content.decode()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text in UTF-8") from None
    if len(content) > _LARGEST:
        raise UsageError(f"{path} is larger than a list of overrides can be")
    return text
