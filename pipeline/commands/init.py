"""What `pipeline init` does: propose a release, try it, and put it in place whole or not at all."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline import console
from pipeline.commands.opening import folders_of
from pipeline.errors import CardInvalid, PipelineError, UsageError
from pipeline.hub.connect import connect
from pipeline.hub.protocol import Repository
from pipeline.manifest import sync_folder, write_atomically
from pipeline.metadata.values import is_address, is_file, is_license, is_license_name
from pipeline.release.document import read
from pipeline.release.find import RESERVED, check_recipe, find_or_begin, release_file
from pipeline.release.load import load_release
from pipeline.release.places import shown
from pipeline.release.written import check_name, check_repo, parse_size
from pipeline.stages.fit import check_fit
from pipeline.stages.front_matter import check_front_matter
from pipeline.stages.job import Folders, open_planned
from pipeline.stages.scaffold import LICENSE_HINT, Wanted, propose_release
from pipeline.stages.scaffold_text import license_stated
from pipeline.stages.sizes import sizes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from pipeline.manifest import Json
    from pipeline.stages.job import Planned
    from pipeline.stages.scaffold import Scaffold

T = TypeVar("T")

_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_IGNORED = "# Where pipeline keeps weights while it works.\n/.pipeline/\n"


def init(
    name: str,
    workspace: Path | None,
    *,
    base: str,
    revision: str,
    place: Literal["huggingface", "local"],
    target: str | None,
    license_: str | None,
    recipe: str | None,
    budget: str | None,
    trust_remote_code: bool,
) -> int:
    root = find_or_begin(Path.cwd())
    _check_free(root, _checked(check_name, name, "NAME"))
    wanted = Wanted(
        name=name,
        base=_checked(check_repo, base, "--base"),
        revision=_checked(_check_revision, revision, "--revision"),
        hub=place,
        target=_checked(check_repo, target, "--target") if target else None,
        license=_checked(_license, license_, "--license") if license_ else None,
        recipe=check_recipe(root, recipe) if recipe else None,
        budget=_checked(parse_size, budget, "--budget") if budget else None,
        goal=budget.strip() if budget else "",
        trust_remote_code=trust_remote_code,
    )
    if wanted.target == wanted.base:
        raise UsageError("--target is the base itself, which the result would be published over")
    folders = folders_of(workspace, root)
    if place == "local":
        _seed(folders, Repository(base))
    with connect(place, folders.hub, writable=False, told=console.show_note) as hub:
        scaffold = propose_release(wanted, root, hub)
    planned, remarks = _tried(folders, name, scaffold)
    try:
        written = _put(root, name, scaffold)
    except OSError as error:
        raise UsageError(f"releases/{name} cannot be written in {root}: {error.strerror}") from error
    console.show_scaffold(
        console.Begun(
            name=name,
            title=planned.release.title,
            base=f"{wanted.base} at {planned.base.revision[:12]}",
            parameters=planned.layout.parameters,
            base_size=sizes(planned).disk.base,
            recipe=planned.recipe.name,
            is_new=scaffold.recipe.draft is not None,
            also=scaffold.recipe.also,
            size=planned.layout.nbytes,
            bits_per_weight=planned.layout.bits_per_weight,
            fit=planned.release.fit,
            license=license_ or f"{license_stated(planned.base)}, as the base's card states",
            target=planned.release.target,
            root="" if root == Path.cwd().resolve() else str(root),
            written=written,
            remarks=remarks,
            needless=scaffold.needless,
        )
    )
    return 0


def _checked(check: Callable[[str], T], value: str, option: str) -> T:
    try:
        return check(value)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from None


def _check_revision(value: str) -> str:
    if not _REVISION.fullmatch(value):
        raise ValueError("must be a branch, a tag or a commit of the base, such as `main`")
    return value


def _license(value: str) -> Json:
    """As it is written in release.yaml: an identifier, or a name and where the text is."""
    name, _, link = value.partition("=")
    if is_license(value):
        return value
    if not is_license_name(name) or (link and not is_file(link) and not is_address(link)):
        raise ValueError(f"must be a license, not {shown(value)}. {LICENSE_HINT}")
    return {"name": name, "link": link} if link else {"name": name}


def _check_free(root: Path, name: str) -> None:
    if name == RESERVED:
        raise UsageError(f"no release can be called {RESERVED}: releases/{RESERVED} holds the recipes")
    if (root / "releases" / name).exists():
        raise UsageError(
            f"releases/{name} exists",
            hint="Choose another NAME; what is there is never written over by `pipeline init`.",
        )


def _seed(folders: Folders, repository: Repository) -> None:
    """Give the embedded Hub the model of the rehearsals, where that is the base."""
    from pipeline.hub.local.store import Store
    from pipeline.rehearsal.catalogue import CATALOGUE, seed

    if repository in CATALOGUE:
        seed(Store(folders.hub), repository, folders.workspace / "seed", console.show_note)


def _tried(folders: Folders, name: str, scaffold: Scaffold) -> tuple[Planned, tuple[str, ...]]:
    """Read the new files back beside those that are there, as the next command will, and plan the release.

    Returns the plan, and what a person should know of it.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-init-") as folder:
        root = Path(folder)
        _write(root, scaffold)
        _link(folders.root, root)
        if read(root, release_file(name)).value != _as_read(scaffold.keys):
            raise PipelineError(
                f"{release_file(name)} would not say what was meant, so nothing was written",
                hint=f"Please report it, with the base model {scaffold.base.repo}.",
            )
        planned = open_planned(load_release(root, name), Folders(root, folders.workspace))
    if planned is None:
        raise AssertionError(name)
    check_fit(planned.layout, planned.assignment.modules, planned.release.fit, release_file(name))
    try:
        return planned, check_front_matter(planned)
    except CardInvalid as error:
        raise UsageError(
            f"{error}. Nothing was written", hint=f"Say the license with --license. {LICENSE_HINT}"
        ) from None


def _write(root: Path, scaffold: Scaffold) -> None:
    for file, text in scaffold.files.items():
        write_atomically(root / file, text)


def _link(source: Path, target: Path) -> None:
    """Links in `target` to everything in `source` that it does not hold."""
    for path in source.iterdir():
        there = target / path.name
        if there.is_dir() and path.is_dir():
            _link(path, there)
        elif not there.exists():
            there.symlink_to(path)


def _as_read(value: Json) -> object:
    match value:
        case dict():
            return {key: _as_read(item) for key, item in value.items()}
        case list():
            return tuple(_as_read(item) for item in value)
    return value


def _put(root: Path, name: str, scaffold: Scaffold) -> tuple[str, ...]:
    """Put the new files where they belong, the release last and by one rename; in an empty folder all by one."""
    releases = root / "releases"
    with tempfile.TemporaryDirectory(dir=root, prefix=".init-") as folder:
        staged = Path(folder)
        _write(staged, scaffold)
        if not releases.exists():
            (staged / "releases").rename(releases)
            return (*scaffold.files, *_ignore(root))
        recipes = [file for file in scaffold.files if file.startswith(f"releases/{RESERVED}/")]
        for file in recipes:
            (root / file).parent.mkdir(exist_ok=True)
            (staged / file).rename(root / file)
        try:
            (staged / "releases" / name).rename(releases / name)
        except OSError:
            for file in recipes:
                (root / file).unlink()
            raise
    sync_folder(releases)
    return tuple(scaffold.files)


def _ignore(root: Path) -> tuple[str, ...]:
    """Keep git away from the workspace of a repository that begins here."""
    path = root / ".gitignore"
    if path.exists():
        return ()
    write_atomically(path, _IGNORED)
    return (path.name,)
