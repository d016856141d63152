"""A new release of a base model as it is proposed: every file of it, none of them written yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Literal

from pipeline.errors import BaseModelError, HubRefused, UsageError
from pipeline.hub.protocol import Repository
from pipeline.release.annotated import write
from pipeline.release.find import recipe_file, release_file
from pipeline.release.recipe import Precision
from pipeline.release.written import check_repo
from pipeline.stages.first_recipe import fitting_recipe, named_recipe, new_recipe
from pipeline.stages.first_text import first_text, releases
from pipeline.stages.scaffold_text import Facts, license_stated, written
from pipeline.weights.base import BaseModel, describes, read_base
from pipeline.weights.tokenizer import tokenizer_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.hub.protocol import Hub
    from pipeline.manifest import Json
    from pipeline.release.recipe import Module
    from pipeline.stages.first_recipe import FirstRecipe

LICENSE_HINT = "Such as `apache-2.0`, or `modified-mit=https://example.org/license` for one that the Hub does not know."

_LONGEST_NAME = 96


@dataclass(frozen=True)
class Wanted:
    """What a person asked for.

    revision: a branch, a tag or a commit; license: as it is written in release.yaml.
    budget: in bytes; goal: the same as they wrote it.
    """

    name: str
    base: str
    revision: str = "main"
    hub: Literal["huggingface", "local"] = "huggingface"
    target: str | None = None
    license: Json = None
    recipe: str | None = None
    budget: int | None = None
    goal: str = ""
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Scaffold:
    """keys: what release.yaml has to say; files: texts by path, relative to the root of the release repository.

    needless: trust in the base's code was given, and none of it has to run.
    """

    base: BaseModel
    recipe: FirstRecipe
    keys: dict[str, Json]
    files: dict[str, str]
    needless: bool


def propose_release(wanted: Wanted, root: Path, hub: Hub) -> Scaffold:
    """Read the base and decide; the Hub is only read.

    Raises: UsageError, BaseModelError, ReleaseFileError when a recipe that was named does not fit, HubError.
    """
    from pipeline.weights.architecture import modules as modules_of

    owner = wanted.target.partition("/")[0] if wanted.target else _account(hub)
    repository = Repository(wanted.base)
    commit = hub.head(repository, wanted.revision)
    if commit is None:
        signed = "for a private or gated model, sign in with `hf auth login`"
        put = "models are put into the embedded Hub with `pipeline hub` and `hf upload`"
        raise UsageError(
            f"{hub.endpoint} holds no {wanted.base} at {wanted.revision}",
            hint=f"Correct --base or --revision; {put if wanted.hub == 'local' else signed}.",
        )
    read = partial(hub.read, repository, commit)
    base = read_base(wanted.base, commit, hub.manifest(repository, commit), read)
    modules = modules_of(base)
    tokenizer = tokenizer_files(base, read)
    if tokenizer.is_code and not wanted.trust_remote_code:
        raise BaseModelError(
            f"the tokenizer of {base.repo} is Python code in its repository, which a release has to run",
            hint=f"Read its .py files at the commit {commit}. If you trust them, add --trust-remote-code.",
        )
    if not wanted.license and not license_stated(base):
        raise UsageError(
            f"the card of {base.repo} names no license that the Hub knows, and a release needs one",
            hint=f"Find out which it is, and say it with --license. {LICENSE_HINT}",
        )
    recipe = _recipe(wanted, root, base, modules)
    target = wanted.target or _target(owner, base, recipe)
    facts = Facts(
        name=wanted.name,
        hub=wanted.hub,
        base=base,
        named=wanted.revision,
        modules=modules,
        license=wanted.license,
        tokenizer=tokenizer,
        recipe=recipe,
        target=target,
        tag=_free_tag(target, root, hub),
        budget=wanted.goal,
        text=first_text(wanted.hub, root, hub),
    )
    keys, comments = written(facts)
    files = {release_file(wanted.name): write(keys, comments)}
    if not _is_described(root, base):
        files[f"releases/{wanted.name}/base.json"] = base.to_json()
    if recipe.draft:
        files[recipe_file(recipe.name)] = recipe.draft.text()
    return Scaffold(base, recipe, keys, files, wanted.trust_remote_code and not tokenizer.is_code)


def _account(hub: Hub) -> str:
    try:
        return hub.whoami()
    except HubRefused as error:
        raise UsageError(
            f"where to publish is not known, since nobody is signed in to {hub.endpoint}",
            hint="Say it with --target OWNER/NAME, or sign in with `hf auth login`.",
        ) from error


def _recipe(wanted: Wanted, root: Path, base: BaseModel, modules: Sequence[Module]) -> FirstRecipe:
    if wanted.recipe:
        return named_recipe(root, base, modules, wanted.recipe)
    found = None if wanted.budget else fitting_recipe(root, base, modules)
    if found:
        return found
    goal = f" within {wanted.goal}" if wanted.budget else ""
    how = (
        f"Proposed by `pipeline init` for {base.repo}{goal}, from the names and shapes of its modules alone: nothing "
        "was measured. The rules are tried from the top, and the first one whose `match` is found in a module's path "
        "decides."
    )
    more = (
        f"`pipeline recipe show RECIPE --for {wanted.name}` says what every part gets. Once the base is downloaded, "
        f"`pipeline recipe solve {wanted.name} --budget SIZE` proposes another recipe from the weights themselves."
    )
    return new_recipe(root, base, modules, wanted.budget, (how, more))


def _target(owner: str, base: BaseModel, recipe: FirstRecipe) -> str:
    bits = recipe.uniform.bits if isinstance(recipe.uniform, Precision) else f"{recipe.layout.bits_per_weight:.1f}"
    tail = f"-MLX-{bits}bit"
    name = base.repo.partition("/")[2][: _LONGEST_NAME - len(tail)].rstrip("-.")
    return check_repo(f"{owner}/{name}{tail}")


def _free_tag(target: str, root: Path, hub: Hub) -> str:
    """The first of v1, v2, ... that neither the Hub nor another release of the repository uses."""
    repository = Repository(target)
    taken = set(hub.tags(repository)) if hub.head(repository) else set()
    taken |= {other.target.tag for other in releases(root) if other.target.repo == target}
    return next(tag for number in count(1) if (tag := f"v{number}") not in taken)


def _is_described(root: Path, base: BaseModel) -> bool:
    """Whether another release of the same base has a base.json that says the same."""
    for path in sorted((root / "releases").glob("*/base.json")):
        text = path.read_text()
        if describes(text, base.repo, base.revision) and BaseModel.from_json(text) == base:
            return True
    return False
