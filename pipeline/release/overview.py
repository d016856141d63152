"""Which module gets what, by tensor class: the assignment of a recipe as few rows as it can be told in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipeline.release.layers import Layers, layer_class, layer_of
from pipeline.release.recipe import Unquantized

if TYPE_CHECKING:
    from pipeline.manifest import Json
    from pipeline.release.recipe import Assigned, Assignment, Decision, Rule

By: TypeAlias = "Rule | Literal['otherwise', 'architecture']"


@dataclass(frozen=True)
class Row:
    """Modules of one class that share their precision, and who decided it.

    layers: None for modules outside of the layers.
    wish: what the architecture itself wishes for them, whether or not it gets it.
    """

    name: str
    modules: int
    parameters: int
    layers: Layers | None
    precision: Decision
    by: By
    why: str
    wish: Decision | None

    @property
    def overrides(self) -> bool:
        """Whether the architecture wishes for something else."""
        if isinstance(self.wish, Unquantized) and isinstance(self.precision, Unquantized):
            return False
        return self.wish is not None and self.wish != self.precision

    def to_json(self) -> dict[str, Json]:
        rule = self.by if not isinstance(self.by, str) else None
        return {
            "name": self.name,
            "modules": self.modules,
            "parameters": self.parameters,
            "layers": str(self.layers) if self.layers else None,
            "precision": str(self.precision),
            "by": self.by if isinstance(self.by, str) else "rule",
            "rule": {"file": rule.place.file, "line": rule.place.line, "match": rule.match} if rule else None,
            "why": self.why,
            "wish": str(self.wish) if self.wish else None,
        }


def overview(assignment: Assignment) -> tuple[Row, ...]:
    """The rows in the order in which the model meets their first modules."""
    groups: dict[tuple[object, ...], list[Assigned]] = {}
    order: dict[str, int] = {}
    for one in assignment.modules:
        name = layer_class(one.module.path)
        order.setdefault(name, len(order))
        key = (order[name], one.by, one.precision, one.module.architecture, layer_of(one.module.path) is None)
        groups.setdefault(key, []).append(one)
    rows = [_row(assignment, group) for group in groups.values()]
    return tuple(sorted(rows, key=lambda row: order[row.name]))


def _row(assignment: Assignment, group: list[Assigned]) -> Row:
    first, recipe = group[0], assignment.recipe
    layers = [layer for one in group if (layer := layer_of(one.module.path)) is not None]
    by: By = recipe.rules[first.by] if isinstance(first.by, int) else first.by
    whys = {"otherwise": recipe.otherwise_why, "architecture": ""}
    return Row(
        name=layer_class(first.module.path),
        modules=len(group),
        parameters=sum(math.prod(one.module.shape) for one in group),
        layers=Layers.of(layers) if layers else None,
        precision=first.precision,
        by=by,
        why=whys[by] if isinstance(by, str) else by.why,
        wish=first.module.architecture,
    )
