"""What a person writes in a file of faults, for `pipeline hub --faults FILE`: every key, its default and its meaning.

docs/local-hub.md holds the same as tables, and a test keeps the two equal.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.hub.local.faults import Fault, Faults, Kind, When
from pipeline.release.document import read
from pipeline.release.fields import Count, Line, Share, Size, Text, Written
from pipeline.release.load import refused, validated
from pipeline.release.places import Problem, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.hub.local.faults import Fired

_OWN = {
    "status": {"status", "headers", "message"},
    "drop": {"when"},
    "stall": {"seconds"},
    "slow": {"rate"},
    "truncated": {"byte"},
    "corrupted": {"byte"},
    "moved": {"file"},
    "collected": {"blobs"},
}
_HEADER = re.compile(r"([A-Za-z0-9-]+): *(\S.*)")


def _counts(value: object) -> object:
    """`2` as `[2]`."""
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_header(line: str) -> str:
    if not _HEADER.fullmatch(line):
        raise ValueError(f"must be a header such as 'Retry-After: 5', not {shown(line)}")
    return line


Header = Annotated[Line, AfterValidator(_check_header), Field(title="header such as `'Retry-After: 5'`")]
Status = Annotated[int, Field(ge=400, le=599, title="number from 400 to 599")]
Seconds = Annotated[float, Field(gt=0, le=86_400, strict=False, title="seconds")]


class WrittenFault(Written):
    """One rule: which requests go wrong, how, and how often."""

    fault: Kind = Field(description="What happens; the next table says what each kind does.")
    path: Text = Field(
        default="*",
        description="Which requests, by the decoded path of their address; `*` stands for anything, slashes too.",
    )
    method: Text = Field(default="*", description="Which requests, by method: `GET`, `HEAD`, `POST`, `PUT`, `DELETE`.")
    nth: Annotated[tuple[Count, ...], BeforeValidator(_counts), Field(title="number, or list of numbers")] = Field(
        default=(), description="Which of those requests, counted from one; every one when left out."
    )
    most: Count | None = Field(default=None, description="How often at most.")
    chance: Share = Field(default=1.0, description="How likely each of those is to go wrong.")
    status: Status = Field(default=503, description="For `status`: the HTTP status of the answer.")
    headers: tuple[Header, ...] = Field(default=(), description="For `status`: headers that go with it.")
    message: Line | None = Field(default=None, description="For `status`: what the Hub says about it.")
    when: When = Field(default="before", description="For `drop`: `before`, in the `middle` of or `after` the work.")
    seconds: Seconds = Field(default=60.0, description="For `stall`: how long nothing is heard.")
    rate: Size = Field(default=50_000, description="For `slow`: how much goes through in a second, both ways.")
    byte: Annotated[int, Field(ge=0, title="whole number")] | None = Field(
        default=None,
        description="For `truncated` and `corrupted`: where, counted from zero; in the middle when left out.",
    )
    file: Text = Field(default="somebody-elses.txt", description="For `moved`: which file somebody else commits.")
    blobs: Count | None = Field(default=None, description="For `collected`: how many are dropped; all when left out.")

    @field_validator("chance")
    @classmethod
    def _is_a_share(cls, chance: float) -> float:
        if not 0 < chance <= 1:
            raise ValueError("must be more than 0 % and at most 100 %")
        return chance

    @field_validator("method")
    @classmethod
    def _is_a_method(cls, method: str) -> str:
        if method != "*" and not re.fullmatch(r"[A-Z]+", method):
            raise ValueError(f"must be a method in capitals, such as `POST`, not {shown(method)}")
        return method

    @model_validator(mode="after")
    def _keys_fit(self) -> WrittenFault:
        others = set().union(*_OWN.values()) - _OWN.get(self.fault, set())
        if meaningless := sorted(self.model_fields_set & others):
            raise ValueError(f"`{meaningless[0]}` says nothing about `{self.fault}`; remove it")
        return self

    @property
    def rule(self) -> Fault:
        values = self.model_dump(exclude={"fault", "headers", "message"})
        headers = {found[1]: found[2] for line in self.headers if (found := _HEADER.fullmatch(line))}
        return Fault(kind=self.fault, headers=headers, message=self.message or "", **values)


class BadDay(Written):
    """A bad day."""

    seed: Annotated[int, Field(ge=0, title="whole number")] = Field(
        default=0, description="Makes `chance` fall the same way again, for the same requests in the same order."
    )
    faults: tuple[WrittenFault, ...] = Field(
        description="The rules; the first one that is due decides about a request."
    )

    @field_validator("faults")
    @classmethod
    def _is_a_bad_day(cls, rules: tuple[WrittenFault, ...]) -> tuple[WrittenFault, ...]:
        if not rules:
            raise ValueError("must not be empty")
        return rules


def load_faults(file: str, told: Callable[[Fired], None] = lambda _: None) -> Faults:
    """The file's rules, none of which has counted anything yet; `told` hears of every fault that fires.

    `ReleaseFileError` holds every problem with file, line and column.
    """
    problems: list[Problem] = []
    asked = validated(read(Path.cwd(), file), BadDay, problems)
    if asked is None:
        raise refused(problems, hint="docs/local-hub.md describes every key. Nothing was started.")
    return Faults((each.rule for each in asked.faults), seed=asked.seed, told=told)
