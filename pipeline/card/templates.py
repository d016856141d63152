"""Where the card's templates lie, and the only way in which they are run."""

from __future__ import annotations

import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateRuntimeError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.card import escape, figures, tables
from pipeline.card.escape import Markdown
from pipeline.card.quality import Perplexity
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CARD = "card.md.j2"


def template_folder(root: Path) -> Path:
    """`templates/` of the release repository at `root` when it holds a card template, else what the package ships."""
    own = root / "templates"
    return own if (own / CARD).is_file() else shipped_folder()


def shipped_folder() -> Path:
    """The templates inside an installed wheel, or beside the package in a working copy of its sources."""
    spec = find_spec("pipeline.templates")
    installed = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    for folder in (*installed, Path(__file__).parents[2] / "templates"):
        if (folder / CARD).is_file():
            return folder
    raise PipelineError("the card's templates are missing from this installation", hint="Install pipeline again.")


def fill(folder: Path, values: Mapping[str, object]) -> str:
    """The card's body: `CARD` of `folder`, with `values` and the filters below.

    Raises: PipelineError that names the template and the line.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters |= FILTERS
    environment.globals = {"table": tables.table}
    try:
        template = environment.get_template(CARD)
    except TemplateError as error:
        raise _broken(error, folder) from error
    try:
        return template.render(values)
    except Exception as error:  # a template can do anything to a value
        raise _broken(error, folder) from error


def _with_error(figure: object) -> str:
    if not isinstance(figure, Perplexity):
        raise TemplateRuntimeError("`with_error` takes a perplexity")
    return figures.with_error(figure.value, figure.error)


def _nats(pair: tuple[float, float | None]) -> str:
    return figures.nats(*pair)


def _share(pair: tuple[float, float | None]) -> str:
    return figures.share(*pair)


FILTERS: Mapping[str, Callable[..., object]] = {
    "bits": figures.bits,
    "code": escape.code,
    "error": figures.error,
    "fenced": escape.fenced,
    "grouped": figures.grouped,
    "machine": figures.machine,
    "memory_size": figures.memory_size,
    "nats": _nats,
    "percent": figures.percent,
    "prose": escape.prose,
    "python": escape.python,
    "quote": escape.quote,
    "share": _share,
    "shell": escape.shell,
    "size": figures.byte_size,
    "versions": figures.versions,
    "with_error": _with_error,
}


def _safe(value: object) -> str:
    """Every value on its way into the card: Markdown as it is, other text escaped, a bare number refused."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, str):
        return escape.plain(value)
    if isinstance(value, StrictUndefined):
        return str(value)
    raise TemplateRuntimeError(f"{value!r} needs a filter that says how it is written, such as `grouped` or `size`")


def _broken(error: Exception, folder: Path) -> PipelineError:
    said = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    return PipelineError(
        f"{_place(error, folder)}: {said}",
        hint="Templates are written in Jinja; what they may name stands in pipeline/card/render.py.",
    )


def _place(error: Exception, folder: Path) -> str:
    """The template and the line where it happened, such as `templates/parts/run.md.j2:12`."""
    if isinstance(error, TemplateSyntaxError):
        name, line = error.filename or CARD, error.lineno
    else:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)
        ]
        name, line = (frames[-1].filename, frames[-1].lineno or 1) if frames else (str(folder / CARD), 1)
    return f"{folder.name}/{Path(name).relative_to(folder) if Path(name).is_absolute() else name}:{line}"
