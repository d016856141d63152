"""Makes the lists of what the Hub knows anew, from their public sources: `python -m pipeline.metadata.refresh`."""

from __future__ import annotations

import argparse
import re
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.manifest import write_atomically
from pipeline.metadata.lists import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DOCS = "huggingface/hub-docs"
_JAVASCRIPT = "huggingface/huggingface.js"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# A key of a TypeScript object at its first level, whose value is an object or a list.
_KEY = re.compile(r"""^\t["']?([\w.+-]+)["']?:\s*[{\[]""", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """A file of a public repository. Identifiers are what `entry` finds between the texts `start` and `end`."""

    repository: str
    path: str
    start: str
    end: str
    entry: re.Pattern[str]


@dataclass(frozen=True)
class Made:
    """what: heads the file; known: identifiers without which a list cannot be right."""

    what: str
    sources: tuple[Source, ...]
    known: frozenset[str]


def _typescript(path: str, name: str) -> Source:
    return Source(_JAVASCRIPT, path, f"export const {name} = {{", "\n}", _KEY)


LISTS: Mapping[str, Made] = {
    "licenses": Made(
        "Identifiers of licenses: values of `license`.",
        (
            Source(
                _DOCS,
                "docs/hub/repositories-licenses.md",
                "<!-- region licenses -->",
                "<!-- endregion -->",
                re.compile(r"^\|[^|]*\|\s*`([^`\s|]+)`\s*\|", re.MULTILINE),
            ),
        ),
        frozenset({"apache-2.0", "mit", "other", "llama3.3"}),
    ),
    "pipeline-tags": Made(
        "Tasks: values of `pipeline_tag`.",
        (_typescript("packages/tasks/src/pipelines.ts", "PIPELINE_DATA"),),
        frozenset({"text-generation", "image-text-to-text"}),
    ),
    "libraries": Made(
        "Libraries: values of `library_name`.",
        (_typescript("packages/tasks/src/model-libraries.ts", "MODEL_LIBRARIES_UI_ELEMENTS"),),
        frozenset({"mlx", "transformers"}),
    ),
    "languages": Made(
        "Codes of languages, ISO 639-1 and 639-3: values of `language`.",
        (
            _typescript("packages/languages/src/languages_iso_639_1.ts", "LANGUAGES_ISO_639_1"),
            _typescript("packages/languages/src/languages_iso_639_3.ts", "LANGUAGES_ISO_639_3"),
        ),
        frozenset({"en", "zh", "no", "yue"}),
    ),
    "keys": Made(
        "Keys of a model card's front matter that the specification names.",
        (Source(_DOCS, "modelcard.md", "---\n", "\n---", re.compile(r"^([a-z][\w-]*):", re.MULTILINE)),),
        frozenset({"license", "language", "model-index"}),
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.metadata.refresh", description=__doc__)
    parser.add_argument("--api", default="https://api.github.com", help="where the newest commits are asked for")
    parser.add_argument("--raw", default="https://raw.githubusercontent.com", help="where files are read at a commit")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the lists are written")
    asked = parser.parse_args(arguments)
    try:
        refresh(asked.api, asked.raw, asked.folder)
    except PipelineError as error:
        sys.exit(f"error: {error}\n{error.hint}")


def refresh(api: str, raw: str, folder: Path) -> None:
    """Write every list into `folder`, or none; `PipelineError` names the source that cannot be read any more."""
    repositories = sorted({source.repository for made in LISTS.values() for source in made.sources})
    commits = {repository: _commit(api, repository) for repository in repositories}
    made = {name: _list(one, commits, raw) for name, one in LISTS.items()}
    for name, text in made.items():
        write_atomically(folder / f"{name}.txt", text)


def _list(made: Made, commits: Mapping[str, str], raw: str) -> str:
    found: set[str] = set()
    places = []
    for source in made.sources:
        commit = commits[source.repository]
        found |= _identifiers(source, _read(f"{raw}/{source.repository}/{commit}/{source.path}"))
        places.append(f"# From https://github.com/{source.repository}/blob/{commit}/{source.path}\n")
    if missing := sorted(made.known - found):
        paths = " and ".join(source.path for source in made.sources)
        raise PipelineError(
            f"{paths} does not hold `{missing[0]}`, so it is written in another way than before",
            hint="Correct how pipeline/metadata/refresh.py reads it; no list was changed.",
        )
    head = f"# {made.what}\n{''.join(places)}"
    today = datetime.now(UTC).date().isoformat()
    head += f"# Made on {today} by `python -m pipeline.metadata.refresh`; not to be edited by hand.\n"
    return head + _lines(sorted(found))


def _lines(identifiers: Sequence[str]) -> str:
    """One identifier a line; of thousands, all that begin with the same two letters."""
    if len(identifiers) < 1000:
        return "".join(f"{one}\n" for one in identifiers)
    rows: dict[str, list[str]] = {}
    for one in identifiers:
        rows.setdefault(one[:2], []).append(one)
    return "".join(f"{' '.join(row)}\n" for row in rows.values())


def _identifiers(source: Source, text: str) -> set[str]:
    _, _, after = text.partition(source.start)
    region, end, _ = after.partition(source.end)
    return set(source.entry.findall(region)) if end else set()


def _commit(api: str, repository: str) -> str:
    commit = _read(f"{api}/repos/{repository}/commits/main", accept="application/vnd.github.sha").strip()
    if not _COMMIT.fullmatch(commit):
        raise PipelineError(f"{api} does not say which commit {repository} is at", hint="Ask again later.")
    return commit


def _read(url: str, accept: str = "*/*") -> str:
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "pipeline"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            content: bytes = response.read()
    except (urllib.error.URLError, OSError) as error:
        raise PipelineError(f"{url} cannot be read: {error}", hint="No list was changed.") from None
    return content.decode("utf-8")


if __name__ == "__main__":
    main()
