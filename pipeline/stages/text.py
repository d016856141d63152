"""What perplexity is measured on: where the text is from, how much of it, and the text itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.manifest import File, Manifest, sha256
from pipeline.release.load import refused
from pipeline.release.texts import text_of
from pipeline.stages import download

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engine.task import Step
    from pipeline.evaluate.dataset import Sample
    from pipeline.evaluate.quality import Text
    from pipeline.manifest import Json
    from pipeline.release.places import Problem
    from pipeline.stages.job import Job

# Those of mlx_lm.perplexity.
_SEED, _LENGTH, _SAMPLES = 123, 512, 256


def check(job: Job) -> None:
    """`UsageError` for what can be known of the text before anything is downloaded.

    That is a package that it needs, and a file of one's own that is too short: a token has a byte at least.
    """
    asked = job.release.evaluate.text
    if asked.dataset is not None:
        from pipeline.evaluate.dataset import check_installed

        check_installed()
    if asked.path is not None and (path := _path(job)).is_file():
        (count, length), size = windows(job), path.stat().st_size
        if size < count * length:
            raise UsageError(
                f"the evaluation text {asked.path} has {size:,} bytes; {count} windows of {length} tokens need more",
                hint="Lower `evaluate.windows` or `evaluate.window`, or choose a longer text.",
            )


def windows(job: Job) -> tuple[int, int]:
    """How many windows are measured, and the tokens of each."""
    asked = job.release.evaluate
    if asked.text.dataset is None:
        return asked.windows, asked.window
    return asked.text.samples or _SAMPLES, asked.text.sequence_length or _LENGTH


def predictions(job: Job) -> int:
    """Tokens that are predicted: all of each window but the first."""
    count, length = windows(job)
    return count * (length - 1)


def settings(job: Job) -> dict[str, Json]:
    """What decides the tokens: `text`, `window` and `windows`. A file of one's own is named with its digest."""
    count, length = windows(job)
    return {"text": source(job), "window": length, "windows": count}


def foreseen(job: Job) -> dict[str, Json]:
    """Of the settings that a figure will hold, those that are known before anything is fetched."""
    known = settings(job)
    if job.release.evaluate.text.path:
        content = _read(_path(job), job.release.evaluate.text.path, job.release.evaluate.text.lines_field)
        known["text"] = {**source(job), "sha256": hashlib.sha256(content.encode()).hexdigest()}
    return known


def needs(job: Job) -> tuple[str, ...]:
    """The tasks that have to be done before the text can be read."""
    return (download.text_task(job),) if job.release.evaluate.text.on_hub else ()


def read(job: Job, step: Step) -> Text | Sample:
    """What the tokens are made of, for a task that needs `needs`; ReleaseFileError with the place in a broken file."""
    from pipeline.evaluate.dataset import Sample
    from pipeline.evaluate.quality import Text

    count, length = windows(job)
    if job.release.evaluate.text.dataset is not None:
        return Sample(_dataset(job), _seed(job), length, count)
    return Text(_text(job, step), length, count)


def source(job: Job) -> dict[str, Json]:
    """Where the text is from."""
    asked = job.release.evaluate.text
    source: dict[str, Json]
    if asked.dataset is not None:
        source, folder = {"dataset": asked.dataset, "seed": _seed(job)}, job.folders.root / asked.dataset
        return {**source, "sha256": _digest(folder)} if folder.is_dir() else source
    if asked.on_hub:
        source = {"repo": asked.on_hub.repo, "revision": asked.on_hub.revision, "file": asked.on_hub.file}
    else:
        path = _path(job)
        source = {"path": asked.path, "sha256": sha256(path) if path.is_file() else ""}
    return {**source, "field": asked.lines_field} if asked.lines_field else source


def _seed(job: Job) -> int:
    seed = job.release.evaluate.text.seed
    return _SEED if seed is None else seed


def _dataset(job: Job) -> str:
    """As `datasets` understands it: a folder of the release repository by its whole path."""
    asked = str(job.release.evaluate.text.dataset)
    folder = job.folders.root / asked
    return str(folder) if folder.is_dir() else asked


def _digest(folder: Path) -> str:
    """Of every file in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return Manifest(
        tuple(File(path.relative_to(folder).as_posix(), path.stat().st_size, sha256(path)) for path in files)
    ).digest


def _path(job: Job) -> Path:
    return job.folders.root / str(job.release.evaluate.text.path)


def _text(job: Job, step: Step) -> str:
    asked = job.release.evaluate.text
    if asked.on_hub:
        return _read(step.path(download.text_path(job)), asked.on_hub.file, asked.lines_field)
    return _read(_path(job), str(asked.path), asked.lines_field)


def _read(path: Path, name: str, field: str | None) -> str:
    problems: list[Problem] = []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the evaluation text {name} cannot be read: {error.strerror}") from None
    text = text_of(content, name, field, problems)
    if problems:
        raise refused(problems, "It is the evaluation text; correct it, or choose another in release.yaml.")
    return text
