"""What `pipeline evidence import` does: read, check, merge, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import console
from pipeline.errors import UsageError
from pipeline.evidence import Evidence
from pipeline.manifest import write_atomically
from pipeline.release.document import read
from pipeline.release.find import check_figures, elsewhere_names, find_root, imported_file
from pipeline.release.llama_bench import import_rows, printed_as
from pipeline.release.load import refused
from pipeline.release.reported import import_figures

if TYPE_CHECKING:
    from pipeline.evidence import Measurement, Source
    from pipeline.release.document import Document
    from pipeline.release.places import Problem

_HINT = "docs/release-files.md describes what can be imported. Nothing was imported."

_LOOKED_AT = 1 << 16


def import_file(
    name: str, path: Path, *, source: Source | None, where: str | None, subject: str | None, command: str | None
) -> int:
    """Merge the figures of a file into the release's `imported.json`; the same ones again change nothing."""
    root = find_root(Path.cwd())
    file = imported_file(check_figures(root, name))
    target = root / file
    before = target.read_text() if target.exists() else ""
    known = Evidence.from_json(before, file) if before else Evidence()
    _check_output(path)
    document = read(Path.cwd(), str(path))
    rows = isinstance(document.value, tuple)
    source = source or ("measured" if rows else "reported")
    if where and source != "reported":
        raise UsageError("--from says where figures were reported, so it needs --source reported")
    if rows:
        found = _rows(document, source, where, subject, command)
    elif subject or command:
        raise UsageError("--subject and --command are for llama-bench; another file says them with each figure")
    else:
        found = _figures(document, source, where)
    after = known.merged(found).to_json()
    if after == before:
        console.show_note(f"{file} is unchanged: it holds these figures")
        return 0
    write_atomically(target, after)
    subjects = ", ".join(dict.fromkeys(measurement.subject for measurement in found))
    console.show_note(f"{file} holds figures of {subjects}; {_next(root, name)}")
    return 0


def _next(root: Path, name: str) -> str:
    if name in elsewhere_names(root):
        return "the cards of the releases that name it as a sibling show them"
    return f"`pipeline card {name}` puts them on the card"


def _check_output(path: Path) -> None:
    """`UsageError` for what llama-bench printed for people: as YAML its mistakes would make no sense."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            output = printed_as(file.read(_LOOKED_AT))
    except OSError:
        return
    if output:
        raise UsageError(
            f"{path} is what `llama-bench -o {output}` printed, and only its JSON is read",
            hint="Run llama-bench with `-o json`. Nothing was imported.",
        )


def _rows(
    document: Document, source: Source, where: str | None, subject: str | None, command: str | None
) -> list[Measurement]:
    if subject in {"base", "quantized"}:
        raise UsageError(f"--subject {subject} names a model of this release, and a GGUF is another one")
    if source == "reported" and not where:
        raise UsageError("--source reported needs --from: where the figures were reported")
    problems = list(document.problems)
    found, useless = import_rows(
        document, problems, source=source, where=where or "", subject=subject or "", command=command or ""
    )
    if problems:
        raise refused(problems, _HINT)
    if useless:
        what = "1 test that reads and generates" if useless == 1 else f"{useless} tests that read and generate"
        console.show_note(f"left out: {what} in one (-pg), which tells neither speed")
    return found


def _figures(document: Document, source: Source, where: str | None) -> list[Measurement]:
    problems: list[Problem] = []
    found = import_figures(document, problems, source=source, where=where or "")
    if problems:
        raise refused(problems, _HINT)
    return found
