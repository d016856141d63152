"""Reads what llama.cpp's `llama-bench -o json` prints, so that a GGUF stands beside a release."""

from __future__ import annotations

import json
import re
import shlex
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from pipeline.evidence import Measurement
from pipeline.release.fields import Written
from pipeline.release.load import validated_part
from pipeline.release.places import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.evidence import Source
    from pipeline.manifest import Json
    from pipeline.release.document import Document

HARNESS = "llama-bench"
# How its other outputs begin.
_OTHERWISE = {
    "md": re.compile(r"^\| *model +\|.*\| +t/s \|", re.MULTILINE),
    "jsonl": re.compile(r'^\{"build_commit": .*\}', re.MULTILINE),
    "csv": re.compile(r"^build_commit,build_number,", re.MULTILINE),
    "sql": re.compile(r"^CREATE TABLE IF NOT EXISTS llama_bench \(", re.MULTILINE),
}
# What came out, and a warm-up that differs between a prompt's test and a generation's of one and the same run.
_NO_SETTINGS = frozenset({"avg_ns", "stddev_ns", "samples_ns", "n_gen_warmup"})
# Long-lived flags of llama-bench, by the names of its JSON.
_FLAGS = {
    "n_depth": "-d",
    "n_batch": "-b",
    "n_ubatch": "-ub",
    "n_threads": "-t",
    "n_gpu_layers": "-ngl",
    "flash_attn": "-fa",
    "type_k": "-ctk",
    "type_v": "-ctv",
}

Whole = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Row(Written):
    """One test: a prompt read (`n_prompt`), tokens generated (`n_gen`), or both at once.

    Which other fields there are depends on llama.cpp's version; they are settings of the test.
    """

    model_config = ConfigDict(extra="allow")

    build_commit: str
    build_number: int
    cpu_info: str = ""
    gpu_info: str = ""
    backends: str = ""
    model_filename: Annotated[str, Field(min_length=1)]
    model_type: str = ""
    model_size: Whole = 0
    model_n_params: Whole = 0
    n_prompt: Whole
    n_gen: Whole
    test_time: str
    avg_ts: Annotated[Rate, Field(gt=0)]
    stddev_ts: Rate
    samples_ts: tuple[float, ...] = ()

    @property
    def file(self) -> str:
        """Of the model, without the folders of somebody's machine."""
        return re.split(r"[/\\]", self.model_filename)[-1]

    @property
    def settings(self) -> dict[str, Json]:
        """All that would change the figure, and nothing that came out of the test."""
        extra: Mapping[str, Json] = self.model_extra or {}
        return {
            **{key: value for key, value in extra.items() if key not in _NO_SETTINGS},
            "harness": HARNESS,
            "build": f"{self.build_number} ({self.build_commit})",
            "backend": self.backends,
            "model": {
                "file": self.file,
                "type": self.model_type,
                "bytes": self.model_size,
                "parameters": self.model_n_params,
            },
            **({"trials": len(self.samples_ts)} if self.samples_ts else {}),
        }

    @property
    def speed(self) -> dict[str, Json]:
        return {
            "tokens": self.n_prompt or self.n_gen,
            "tokens_per_second": self.avg_ts,
            "deviation": self.stddev_ts,
            "peak_memory": None,
        }


def printed_as(text: str) -> str:
    """The `-o` with which llama-bench printed `text`, where that is not `json`; "" for anything else."""
    return next((output for output, pattern in _OTHERWISE.items() if pattern.search(text)), "")


def import_rows(
    document: Document, problems: list[Problem], *, source: Source, where: str, subject: str, command: str
) -> tuple[list[Measurement], int]:
    """A measurement for each model and way of measuring, and how many rows are of no use.

    Those that read and generate in one (`-pg`) tell the speed of neither. `subject` and `command` are "" where the rows
    themselves have to say it. What is wrong is added to `problems`.
    """
    value = document.value if isinstance(document.value, tuple) else ()
    rows = [validated_part(document, Row, (index,), problems) for index in range(len(value))]
    if not value and not document.problems:
        problems.append(Problem(document.place(()), "holds no test of llama-bench"))
    useful: list[Row] = []
    for index, row in enumerate(rows):
        if row is None or (row.n_prompt and row.n_gen):
            continue
        if not row.n_prompt and not row.n_gen:
            problems.append(Problem(document.place((index, "n_gen")), "is a test of nothing: `n_prompt` is 0 too"))
        elif any(_same_test(row, other) for other in useful):
            problems.append(Problem(document.place((index,)), "is the same test as one above it"))
        else:
            useful.append(row)
    if rows and not useful and not problems:
        problems.append(Problem(document.place((0,)), "reads and generates in one, which tells the speed of neither"))
    ordered = sorted(useful, key=_settings_text)
    groups = [list(rows) for _, rows in groupby(ordered, _settings_text)]
    groups.sort(key=lambda group: useful.index(group[0]))
    made = [_measurement(group, source, where, subject, command) for group in groups]
    return made, sum(1 for row in rows if row and row.n_prompt and row.n_gen)


def _measurement(rows: Sequence[Row], source: Source, where: str, subject: str, command: str) -> Measurement:
    first = rows[0]
    prompt, generation = ([row for row in rows if row.n_prompt], [row for row in rows if row.n_gen])
    settings: dict[str, Json] = {**first.settings, "command": command or _command(first, prompt, generation)}
    if where:
        settings["reported"] = where
    return Measurement(
        measure="speed",
        subject=subject or first.file,
        weights="",
        values={"prompt": _by_size(prompt), "generation": _by_size(generation)},
        settings=settings,
        tools={"llama.cpp": f"{first.build_number} ({first.build_commit})"},
        machine=_machine(first),
        measured_at=max(row.test_time for row in rows),
        source=source,
    )


def _machine(row: Row) -> dict[str, Json]:
    """On Apple's chips the two are one."""
    said = {"chip": row.cpu_info, "gpu": "" if row.gpu_info == row.cpu_info else row.gpu_info}
    return {key: value for key, value in said.items() if value}


def _by_size(rows: Iterable[Row]) -> list[Json]:
    return [row.speed for row in sorted(rows, key=lambda row: row.n_prompt or row.n_gen)]


def _command(row: Row, prompt: Sequence[Row], generation: Sequence[Row]) -> str:
    """A command line that makes these tests, put together from what the rows say; that of their maker is in none."""
    words = ["llama-bench", "-m", row.file]
    words += ["-p", ",".join(str(one.n_prompt) for one in prompt) or "0"]
    words += ["-n", ",".join(str(one.n_gen) for one in generation) or "0"]
    for key, flag in _FLAGS.items():
        value = row.settings.get(key)
        if value is not None and (key, value) != ("n_depth", 0):
            words += [flag, str(int(value)) if isinstance(value, bool) else str(value)]
    if row.samples_ts:
        words += ["-r", str(len(row.samples_ts))]
    return shlex.join([*words, "-o", "json"])


def _same_test(row: Row, other: Row) -> bool:
    return (row.n_prompt, row.n_gen, row.settings) == (other.n_prompt, other.n_gen, other.settings)


def _settings_text(row: Row) -> str:
    return json.dumps(row.settings, sort_keys=True)
