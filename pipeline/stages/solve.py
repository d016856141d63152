"""A recipe for a budget: what every precision loses is measured on the downloaded base, then the best mix is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError, UsageError
from pipeline.release.candidates import candidates, weight_of
from pipeline.release.layers import layer_class, layer_of
from pipeline.release.proposal import propose, shares
from pipeline.release.recipe import Precision, Unquantized, assign
from pipeline.release.solve import Choice, Unit, solve
from pipeline.stages import download
from pipeline.stages.job import DISTORTION
from pipeline.weights.base import weight_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.engine.workspace import Workspace
    from pipeline.manifest import Json
    from pipeline.release.candidates import Allowed, Weighted
    from pipeline.release.draft import Draft
    from pipeline.release.proposal import Share
    from pipeline.release.recipe import Decision, Dtype, Module
    from pipeline.release.solve import Solution
    from pipeline.weights.base import BaseModel
    from pipeline.weights.layout import Layout, Piece

_SHARD = 5_000_000_000
_DTYPES: Mapping[str, Dtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True)
class Asked:
    """budget: bytes of all tensors; goal: the same as the person wrote it; command: how it was asked for."""

    budget: int
    goal: str
    command: str
    allowed: tuple[Allowed, ...] = ()
    weighted: tuple[Weighted, ...] = ()


@dataclass(frozen=True)
class Watcher:
    """What is told how far the measuring is: first how many weights have to be looked at, then of those that were."""

    begin: Callable[[int], None]
    advance: Callable[[int], None]


@dataclass(frozen=True)
class Proposal:
    """bits_per_weight: of the whole model, as mlx-lm counts it."""

    draft: Draft
    shares: tuple[Share, ...]
    solution: Solution
    budget: int
    bits_per_weight: float

    def to_json(self) -> dict[str, Json]:
        return {
            "budget": self.budget,
            "bytes": self.solution.nbytes,
            "bits_per_weight": self.bits_per_weight,
            "error": self.solution.error,
            "least_error": self.solution.bound,
            "classes": [share.to_json() for share in self.shares],
            "recipe": self.draft.text(),
        }


def propose_recipe(base: BaseModel, workspace: Workspace, asked: Asked, watcher: Watcher) -> Proposal:
    """Measure what is not measured yet, and solve. The recipe is checked: its size is planned once more, to the byte.

    Raises: UsageError when the base is not in the workspace, or nothing that is allowed fits.
    """
    from pipeline.weights.architecture import modules as modules_of
    from pipeline.weights.layout import layout

    modules, plain = modules_of(base), layout(base, {}, _SHARD)
    pieces = {piece.module: piece for piece in _pieces(plain) if piece.parameter.endswith(".weight")}
    considered = {
        module.path: candidates(module, asked.allowed, _DTYPES[pieces[module.path].dtype]) for module in modules
    }
    errors = _errors(plain, workspace, considered, watcher)
    sizes = _sizes(considered, pieces)
    units = _units(modules, considered, errors, sizes, asked.weighted)
    fixed = plain.nbytes - sum(_whole(pieces[module.path]) for module in modules)
    solution = solve(units, fixed, asked.budget)
    shared = shares(units, solution, errors)
    remark = (
        f"Proposed by `{asked.command}` for {base.repo} at {base.revision[:12]}: the least weighted sum of relative "
        f"squared errors, measured on the weights and nothing else. {solution.nbytes:,} bytes."
    )
    draft = propose(shared, modules, asked.goal, (remark,))
    assigned = assign(draft.recipe("proposal"), modules).precisions
    planned = layout(base, assigned, _SHARD)
    chosen = {path: share.decision for share in shared for path in share.modules}
    if planned.nbytes != solution.nbytes or assigned != chosen:
        raise PipelineError(
            f"the proposed recipe would give {planned.nbytes:,} bytes, not {solution.nbytes:,} as it was solved for",
            hint="Please report it, with the release file.",
        )
    return Proposal(draft, shared, solution, asked.budget, planned.bits_per_weight)


def _pieces(plain: Layout) -> list[Piece]:
    return [piece for shard in plain.shards for piece in shard.pieces]


def _whole(piece: Piece) -> int:
    return sum(part.nbytes for part in piece.parts if part)


def _errors(
    plain: Layout,
    workspace: Workspace,
    considered: Mapping[str, Sequence[Decision]],
    watcher: Watcher,
) -> dict[tuple[str, Decision], float]:
    """By module and precision; leaving a module unquantized loses nothing."""
    from pipeline.weights.distortion import Measured, measure

    measured = Measured(workspace.root / DISTORTION, plain.base.repo, plain.base.revision)
    wanted = {path: [one for one in every if isinstance(one, Precision)] for path, every in considered.items()}
    missing = {path for path, every in wanted.items() if every and not measured.knows(path, every)}
    if missing:
        folder = _folder(plain.base, workspace)
        weights = (p.elements for p in _pieces(plain) if p.module in missing and p.parameter.endswith(".weight"))
        watcher.begin(sum(weights))
        measure(plain, folder, wanted, measured, advance=watcher.advance)
    found: dict[tuple[str, Decision], float] = {
        (path, one): measured.error(path, one) for path, every in wanted.items() for one in every
    }
    found |= {(path, one): 0.0 for path, every in considered.items() for one in every if isinstance(one, Unquantized)}
    return found


def _folder(base: BaseModel, workspace: Workspace) -> Path:
    """The base's files; refused unless all of its weights are there."""
    folder = workspace.root / download.BASE
    files = weight_files(base.files)
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        raise UsageError(
            f"the base model is not in the workspace: {len(absent)} of its {len(files)} weight files are missing from "
            f"{folder}, first {absent[0]}",
            hint=f"`pipeline release {workspace.root.name} --until download` fetches it.",
        )
    return folder


def _sizes(
    considered: Mapping[str, Sequence[Decision]], pieces: Mapping[str, Piece]
) -> dict[tuple[str, Decision], int]:
    from pipeline.weights.distortion import nbytes

    known: dict[tuple[object, ...], int] = {}
    sizes: dict[tuple[str, Decision], int] = {}
    for path, every in considered.items():
        piece = pieces[path]
        for one in every:
            kind = piece.shape, piece.dtype, one
            if kind not in known:
                known[kind] = nbytes(*kind)
            sizes[path, one] = known[kind]
    return sizes


def _units(
    modules: Sequence[Module],
    considered: Mapping[str, Sequence[Decision]],
    errors: Mapping[tuple[str, Decision], float],
    sizes: Mapping[tuple[str, Decision], int],
    weighted: Sequence[Weighted],
) -> list[Unit]:
    groups: dict[tuple[str, int | None], list[str]] = {}
    for module in modules:
        groups.setdefault((layer_class(module.path), layer_of(module.path)), []).append(module.path)
    layers = len({layer for _, layer in groups if layer is not None})
    units = []
    for (name, layer), paths in groups.items():
        shared = [one for one in considered[paths[0]] if all(one in considered[path] for path in paths)]
        if not shared:
            raise UsageError(f"nothing is allowed for all of {', '.join(paths)}, which one rule would have to name")
        choices = tuple(
            Choice(
                one,
                sum(sizes[path, one] for path in paths),
                sum(weight_of(path, weighted, layers) * errors[path, one] for path in paths),
            )
            for one in shared
        )
        units.append(Unit(name, layer, tuple(paths), choices))
    return units
