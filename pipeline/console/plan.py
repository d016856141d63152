"""A plan as people read it: what runs and why, what stands, stage by stage."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.console.lanes import lanes_in_order
from pipeline.console.terminal import one_line, print_hanging, print_rows, stdout
from pipeline.console.words import age, amount, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

    from pipeline.engine.plan import Decision, Plan
    from pipeline.engine.task import Lane

_FOLD = 4
"""So many tasks of a stage with the same reason become one line."""


def show_plan(plan: Plan, *, every: bool = False, dry_run: bool = True, console: Console | None = None) -> None:
    """Every task with its size and whether it runs, and why; alike ones folded into one line unless `every`.

    dry_run: false when the plan is about to be carried out.
    """
    console = console or stdout()
    _show_lanes(plan, _what_happens, every=every, console=console)
    if plan.to_run:
        _close(console, f"{_of(len(plan.to_run), len(plan))} {'would run' if dry_run else 'to run'}: {_work(plan)}.")
    else:
        _close(console, f"Nothing to do: {_standing(plan)}.")
    if follows := sum(decision.follows for decision in plan):
        one = follows == 1
        remark = (
            f"{follows} of them only {'follows' if one else 'follow'} from others, and {'stands' if one else 'stand'}"
        )
        print_hanging(console, Text(), Text(f"{remark} if those come out as before.", style="dim"))


def show_status(plan: Plan, *, every: bool = False, now: float | None = None, console: Console | None = None) -> None:
    """What is done, when and how long it took, and what would run.

    now: seconds since the epoch, for ages.
    """
    console = console or stdout()
    moment = time.time() if now is None else now
    _show_lanes(plan, lambda decisions: _what_happened(decisions, moment), every=every, console=console)
    if plan.to_run:
        done = _of(len(plan) - len(plan.to_run), len(plan))
        _close(console, f"{done} are done; {len(plan.to_run)} would run: {_work(plan)}.")
    else:
        _close(console, f"Everything is done: {_standing(plan)}.")


def _show_lanes(plan: Plan, describe: Callable[[Sequence[Decision]], Text], *, every: bool, console: Console) -> None:
    rows: list[tuple[Text, ...]] = []
    for lane in lanes_in_order(plan):
        decisions = [decision for decision in plan if decision.task.lane == lane]
        rows.append((Text.assemble((one_line(lane.name), "bold"), "  ", (one_line(lane.reason), "dim")),))
        of_a_kind = Counter(_shape(d.task.name) for d in decisions)
        for group in [[d] for d in decisions] if every else _fold(decisions):
            work = sum(d.task.work for d in group)
            style = "" if group[0].reason else "dim"
            label = Text(_label(group, of_a_kind), style=style)
            rows.append((label, Text(amount(work, lane.unit) if work else "", style=style), describe(group)))
        rows.append((Text(),))
    print_rows(console, rows, right={1})


def _fold(decisions: Iterable[Decision]) -> list[list[Decision]]:
    """Decisions for one line each, in the order in which their first ones stand.

    Reasons that differ in numbers only are the same: "follows quantize/model-00001". A numbered series has a line of
    its own; whatever else shares a reason is pooled.
    """
    series: dict[tuple[str, str], list[Decision]] = {}
    for decision in decisions:
        series.setdefault((_shape(decision.reason), _shape(decision.task.name)), []).append(decision)
    pools: dict[tuple[str, str], list[Decision]] = {}
    for (reason, name), alike in series.items():
        pools.setdefault((reason, name if len(alike) >= _FOLD else ""), []).extend(alike)
    lines: list[list[Decision]] = []
    for pool in pools.values():
        lines += [pool] if len(pool) >= _FOLD else [[decision] for decision in pool]
    return lines


def _label(decisions: Sequence[Decision], of_a_kind: Counter[str]) -> str:
    """`config.json`; `model-00003 … model-00050, 5 of 70`; `config.json and 9 more`."""
    names = [one_line(decision.task.name.removeprefix(f"{decision.task.lane.name}/")) for decision in decisions]
    if len(names) == 1:
        return names[0]
    kinds = {_shape(decision.task.name) for decision in decisions}
    if len(kinds) > 1:
        return f"{names[0]} and {len(names) - 1} more"
    first, last = _pieces(names[0]), _pieces(names[-1])
    differing = max(i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b) + 1
    return f"{''.join(first[:differing])} … {''.join(last[:differing])}, {len(names)} of {of_a_kind[kinds.pop()]}"


def _what_happens(decisions: Sequence[Decision]) -> Text:
    reason = decisions[0].reason
    if not reason:
        return Text("reuse", style="dim")
    alike = len({decision.reason for decision in decisions}) == 1
    return Text(one_line(reason) + ("" if alike else ", and so on"), style="yellow")


def _what_happened(decisions: Sequence[Decision], now: float) -> Text:
    if decisions[0].reason:
        return Text.assemble(("would run: ", "yellow"), _what_happens(decisions))
    records = [decision.record for decision in decisions if decision.record]
    # A record holds no time of day, which would make equal results differ; the files it made do.
    finished = max((output.mtime for record in records for output in record.outputs), default=0) / 1e9
    when = f" {age(now - finished)}" if finished else ""
    return Text(f"done{when} in {duration(sum(record.seconds for record in records))}", style="green")


def _close(console: Console, sentence: str) -> None:
    print_hanging(console, Text(), Text(sentence, style="bold"))


def _of(count: int, total: int) -> str:
    return f"{count} of {total} tasks" if total > 1 else f"{count} of 1 task"


def _standing(plan: Plan) -> str:
    return "the one result stands" if len(plan) == 1 else f"all {len(plan)} results stand"


def _work(plan: Plan) -> str:
    """`3 download, 9 quantize; 1.20 GB to download, 400 MB to quantize`: stages are verbs."""
    tasks: Counter[Lane] = Counter()
    work: Counter[Lane] = Counter()
    for decision in plan.to_run:
        tasks[decision.task.lane] += 1
        work[decision.task.lane] += decision.task.work
    counts = ", ".join(f"{count} {one_line(lane.name)}" for lane, count in tasks.items())
    sizes = ", ".join(f"{amount(w, lane.unit)} to {one_line(lane.name)}" for lane, w in work.items() if w)
    return f"{counts}; {sizes}" if sizes else counts


def _pieces(name: str) -> list[str]:
    """The text around and in the numbers, alternating."""
    return re.split(r"(\d+)", name)


def _shape(text: str) -> str:
    return re.sub(r"\d+", "#", text)
