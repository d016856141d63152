"""What a campaign came to, in a line for each rehearsal and in tables for all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invariants import allowance
from schedules import SCENES, WAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal import Happened
    from schedules import Schedule
    from world import Reference


@dataclass(frozen=True)
class Outcome:
    """One rehearsal in numbers; bytes are those of shards.

    dropped: by the Hub. allowed: that may have been sent again, those among them.
    """

    schedule: Schedule
    codes: tuple[int, ...]
    faults: Counter[str]
    kills: int
    rotten: int
    needed: int
    sent: int
    dropped: int
    allowed: int
    seconds: float
    violations: tuple[str, ...]


def outcome(happened: Happened, reference: Reference, found: Sequence[str]) -> Outcome:
    return Outcome(
        happened.schedule,
        tuple(happened.codes),
        Counter(fired.fault.kind for fired in happened.fired),
        happened.kills,
        len(happened.rotten),
        reference.sent,
        happened.sent,
        happened.dropped,
        allowance(happened, reference),
        happened.seconds,
        tuple(found),
    )


def line(one: Outcome) -> str:
    """One rehearsal for people."""
    faults = sum(one.faults.values())
    told = (
        f"seed {one.schedule.seed}: {one.schedule.scene}, {one.schedule.way}, {faults} faults, {one.kills} kills, "
        f"{len(one.codes)} runs, {one.sent / one.needed:.2f} of the bytes, {one.seconds:.0f} s"
    )
    return "\n".join([told, *(f"      VIOLATED {violation}" for violation in one.violations)])


def report(outcomes: Sequence[Outcome]) -> str:
    """Markdown: the whole in numbers, then faults by kind."""
    faults = sum((one.faults for one in outcomes), Counter())
    seeds = f"{outcomes[0].schedule.seed} to {outcomes[-1].schedule.seed}"
    rows = [
        "| | through Xet | without Xet | both |",
        "|---|---:|---:|---:|",
        *(_row(name, [_of(outcomes, way) for way in WAYS] + [list(outcomes)], count) for name, count in _COUNTS),
    ]
    kinds = ["| fault | times |", "|---|---:|", *(f"| `{kind}` | {times} |" for kind, times in sorted(faults.items()))]
    return "\n".join([f"Seeds {seeds}.", "", *rows, "", *kinds, ""])


def _of(outcomes: Sequence[Outcome], way: str) -> list[Outcome]:
    return [one for one in outcomes if one.schedule.way == way]


def _row(name: str, groups, count) -> str:
    return f"| {name} | " + " | ".join(str(count(group)) if group else "" for group in groups) + " |"


_COUNTS = (
    ("schedules", len),
    *(
        (f"… {what}", lambda group, scene=scene: sum(one.schedule.scene == scene for one in group))
        for scene, what in zip(
            SCENES,
            ("of a first release", "of the next release", "of the next release, on another machine"),
            strict=True,
        )
    ),
    ("faults that happened", lambda group: sum(sum(one.faults.values()) for one in group)),
    ("`kill -9`", lambda group: sum(one.kills for one in group)),
    ("files that rotted on the disk", lambda group: sum(one.rotten for one in group)),
    ("runs of the command", lambda group: sum(len(one.codes) for one in group)),
    ("… that ended with exit code 4", lambda group: sum(one.codes.count(4) for one in group)),
    ("bytes of large files needed, MB", lambda group: f"{sum(one.needed for one in group) / 1e6:.1f}"),
    ("… sent over needed", lambda group: f"{sum(one.sent for one in group) / sum(one.needed for one in group):.3f}"),
    ("… of which the Hub had dropped, MB", lambda group: f"{sum(one.dropped for one in group) / 1e6:.1f}"),
    (
        "… sent again, of what may have been on its way",
        lambda group: f"{_percent(sum(one.sent - one.needed for one in group), sum(one.allowed for one in group))}",
    ),
    ("**violations**", lambda group: f"**{sum(len(one.violations) for one in group)}**"),
)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
