"""Releases through random days of faults and kills, each judged by what must hold whatever happens.

    python tests/campaign --schedules 200 --seed 1 --report report.md

Every schedule is drawn from its own number, `--seed` being the first: `--schedules 1 --seed 17` repeats the 17th, with
the same faults and kills, though not to the millisecond. Exit code 1 when anything was violated; what a violated one
left is then kept below `--keep`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "builders"))

from invariants import violations
from rehearsal import rehearse
from report import Outcome, line, outcome, report
from schedules import draw
from world import World


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--schedules", type=int, default=200)
    options.add_argument("--seed", type=int, default=1, help="number of the first schedule")
    options.add_argument("--workers", type=int, default=2, help="rehearsals at once")
    options.add_argument("--report", type=Path, help="where to write the report, too")
    options.add_argument("--keep", type=Path, default=Path("violated"), help="where violated rehearsals are kept")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        world = World(Path(folder) / "world")
        world.prepare()
        started, outcomes = time.monotonic(), []
        with ProcessPoolExecutor(asked.workers) as pool:
            numbers = range(asked.seed, asked.seed + asked.schedules)
            pending = [pool.submit(one, world, number, Path(folder), asked.keep) for number in numbers]
            for done in as_completed(pending):
                if done.exception():
                    pool.shutdown(wait=False, cancel_futures=True)
                outcomes.append(done.result())
                left = (time.monotonic() - started) / len(outcomes) * (len(pending) - len(outcomes))
                print(
                    f"{len(outcomes):4} of {len(pending)}, {left / 60:.0f} min left  {line(outcomes[-1])}", flush=True
                )
    text = report(sorted(outcomes, key=lambda each: each.schedule.seed))
    print(f"\n{text}")
    if asked.report:
        asked.report.write_text(text)
    sys.exit(any(each.violations for each in outcomes))


def one(world: World, seed: int, folder: Path, keep: Path) -> Outcome:
    """One rehearsal and its judgement; nothing is left of it when all is well."""
    schedule = draw(seed)
    reference = world.references[schedule.scene, schedule.way]
    place = world.copy(schedule.scene, schedule.way, folder / f"schedule-{seed}")
    happened = rehearse(schedule, place)
    found = violations(happened, reference)
    if found:
        shutil.copytree(place.folder, keep / f"schedule-{seed}", dirs_exist_ok=True)
    shutil.rmtree(place.folder)
    return outcome(happened, reference, found)


if __name__ == "__main__":
    main()
