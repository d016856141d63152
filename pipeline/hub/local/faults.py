"""Rules of a bad day: which requests to the local Hub go wrong, how, and how often."""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_log = logging.getLogger(__name__)

Kind: TypeAlias = Literal[
    "status", "quota", "expired", "drop", "stall", "slow", "truncated", "corrupted", "moved", "collected"
]
When: TypeAlias = Literal["before", "middle", "after"]


@dataclass(frozen=True)
class Fault:
    """One rule; the first one of all that is due decides about a request.

    path, method: which requests it counts; `*` in a path stands for anything, slashes too.
    nth: which of them go wrong, counted from one; empty means every one. most: how often at most.
    chance: how likely each of those is to go wrong.
    Of the rest each kind uses its own: status, headers and message (`status`), when (`drop`), seconds (`stall`),
    rate in bytes a second (`slow`), byte (`truncated`, `corrupted`; the middle when None), file (`moved`), blobs
    (`collected`; all when None).
    """

    kind: Kind
    path: str = "*"
    method: str = "*"
    nth: tuple[int, ...] = ()
    most: int | None = None
    chance: float = 1.0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    when: When = "before"
    seconds: float = 60.0
    rate: int = 50_000
    byte: int | None = None
    file: str = "somebody-elses.txt"
    blobs: int | None = None

    def concerns(self, method: str, path: str) -> bool:
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path)


@dataclass(frozen=True)
class Fired:
    """A fault that happened to a request; `rule` counts the rules from one, in their order."""

    rule: int
    fault: Fault
    method: str
    path: str

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.fault.kind} for {self.method} {self.path}"


class Faults:
    """Decides about each request; `fired` tells what happened so far. Any thread may ask.

    seed: makes `chance` repeatable, for the same requests in the same order.
    told: hears of every fault that fires.
    """

    def __init__(
        self, rules: Iterable[Fault] = (), *, seed: int = 0, told: Callable[[Fired], None] = lambda _: None
    ) -> None:
        self.fired: list[Fired] = []
        self._seed = seed
        self._told = told
        self._lock = threading.Lock()
        self._rules: list[_Counted] = []
        self.add(*rules)

    def add(self, *rules: Fault) -> None:
        """More rules, behind those that there are; each begins to count now."""
        with self._lock:
            for rule in rules:
                chances = random.Random(f"{self._seed}/{len(self._rules)}")  # noqa: S311
                self._rules.append(_Counted(rule, chances))

    def clear(self) -> None:
        """From now on nothing goes wrong; what has fired stays."""
        with self._lock:
            self._rules.clear()

    def due(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request; every rule that it concerns has counted it."""
        with self._lock:
            due = [number for number, rule in enumerate(self._rules, 1) if rule.counts(method, path)]
            if not due:
                return None
            rule = self._rules[due[0] - 1]
            rule.fired += 1
            fired = Fired(due[0], rule.fault, method, path)
            self.fired.append(fired)
        _log.info("%s", fired)
        self._told(fired)
        return rule.fault

    def by_kind(self) -> dict[str, int]:
        """How often each kind of fault has fired."""
        kinds = [fired.fault.kind for fired in self.fired]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


class _Counted:
    def __init__(self, fault: Fault, chances: random.Random) -> None:
        self.fault = fault
        self.fired = 0
        self._seen = 0
        self._chances = chances

    def counts(self, method: str, path: str) -> bool:
        """Whether the rule is due, the request counted."""
        if not self.fault.concerns(method, path):
            return False
        self._seen += 1
        if self.fault.nth and self._seen not in self.fault.nth:
            return False
        # Drawn even when it cannot fire any more, so that other limits leave the sequence as it is.
        drawn = self._chances.random() < self.fault.chance
        return drawn and (self.fault.most is None or self.fired < self.fault.most)
