"""A solution as a recipe: as few rules as say the same, each with what it costs and loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.release.draft import Draft, DraftRule
from pipeline.release.layers import Layers, layer_class
from pipeline.release.patterns import pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.manifest import Json
    from pipeline.release.recipe import Decision, Module
    from pipeline.release.solve import Solution, Unit


@dataclass(frozen=True)
class Share:
    """What modules of one class with one precision take, and lose: the mean of their relative squared errors."""

    name: str
    layers: Layers | None
    decision: Decision
    nbytes: int
    error: float
    modules: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "layers": str(self.layers) if self.layers else None,
            "precision": str(self.decision),
            "bytes": self.nbytes,
            "error": self.error,
        }


def shares(
    units: Sequence[Unit], solution: Solution, errors: Mapping[tuple[str, Decision], float]
) -> tuple[Share, ...]:
    """One for each class and precision, in the order of the model; `errors` of each module, unweighted."""
    groups: dict[str, dict[Decision, list[int]]] = {}
    for index, (unit, choice) in enumerate(zip(units, solution.choices, strict=True)):
        groups.setdefault(unit.name, {}).setdefault(choice.decision, []).append(index)
    found = []
    for name, decisions in groups.items():
        for decision, indices in decisions.items():
            layers = [layer for index in indices if (layer := units[index].layer) is not None]
            modules = tuple(module for index in indices for module in units[index].modules)
            found.append(
                Share(
                    name,
                    Layers.of(layers) if layers else None,
                    decision,
                    sum(solution.choices[index].nbytes for index in indices),
                    sum(errors[module, decision] for module in modules) / len(modules),
                    modules,
                )
            )
    return tuple(found)


def propose(shared: Sequence[Share], modules: Sequence[Module], goal: str, remarks: Sequence[str]) -> Draft:
    """The recipe; classes in which every module gets what its architecture wishes need no rule.

    goal: what it was solved for, such as "350 GB".
    """
    wishes = {module.path: module.architecture for module in modules}
    rules: list[DraftRule] = []
    for name in dict.fromkeys(share.name for share in shared):
        of_class = [share for share in shared if share.name == name]
        if all(wishes[path] == share.decision for share in of_class for path in share.modules):
            continue
        paths = [module.path for module in modules]
        match = pattern_of({path for path in paths if layer_class(path) == name}, paths)
        rules += _rules(of_class, match)
    return Draft(f"The least error of the weights within {goal}.", tuple(rules), None, remarks=tuple(remarks))


def _rules(of_class: Sequence[Share], match: str) -> Iterator[DraftRule]:
    """The precision of most modules comes last and needs no layers, unless others stand outside of the layers."""
    usual = max(of_class, key=lambda share: (share.layers is None, len(share.modules)))
    for share in (*(share for share in of_class if share is not usual), usual):
        why = f"{_share(share.nbytes)} for a relative squared error of {_error(share.error)}."
        yield DraftRule(match, None if share is usual else share.layers, share.decision, why)


def _share(nbytes: int) -> str:
    return f"Solved: {nbytes / 1e9:.3g} GB" if nbytes >= 1e9 else f"Solved: {nbytes / 1e6:.3g} MB"


def _error(error: float) -> str:
    return f"{error * 100:.2g} %" if error else "nothing"
