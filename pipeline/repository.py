"""The release repository as git knows it: the commit that inputs are from, and a commit and a tag for what happened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from git import GitCommandError

# What git knows a commit by: names, hashes, `HEAD~2`, `v1^`, `main@{1}`.
_REVISION = re.compile(r"[^\s\W_][^\s\x00-\x1f:\\?*\[]*|@")
_ORDINARY = {0o100644, 0o100755}
_LARGEST = 32_000_000
_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}


def last_change(root: Path, paths: Sequence[str]) -> tuple[str | None, bool] | None:
    """The last commit that touched one of `paths`, relative to `root`, and whether they differ from what is committed.

    That commit stays the same while others are made beside it. It is None before the first one; all is None outside of
    git. `UsageError` where git refuses the repository.
    """
    if not _is_repository(root):
        return None
    return _last_commit(root, paths), bool(_changed(root, paths))


def committed_files(root: Path, revision: str, folder: str) -> tuple[str, dict[str, bytes]] | None:
    """The commit that `revision` names, and all ordinary files that it holds in `folder` of the tree at `root`.

    None where there is no such commit, or no git. Paths are relative to `folder`; links and large files are left out.
    `UsageError` where git refuses the repository.
    """
    # A revision is never taken for an option, and a path or a range is none.
    if not _REVISION.fullmatch(revision) or not _is_repository(root):
        return None
    from git import BadName, Blob, GitCommandError, InvalidGitRepositoryError, Repo, Tree

    try:
        with Repo(root, search_parent_directories=True) as repository:
            name = str(repository.git.rev_parse("--verify", "--quiet", f"{revision}^{{commit}}"))
            commit = repository.commit(name)
            inside = root.resolve().relative_to(Path(repository.working_tree_dir or root).resolve())
            try:
                tree = commit.tree.join((inside / folder).as_posix())
            except KeyError:
                return commit.hexsha, {}
            if not isinstance(tree, Tree):  # a file or a submodule has that name
                return commit.hexsha, {}
            found = {
                str(blob.path)[len(str(tree.path)) + 1 :]: blob.data_stream.read()
                for blob in tree.traverse()
                if isinstance(blob, Blob) and blob.mode in _ORDINARY and blob.size <= _LARGEST
            }
            return commit.hexsha, found
    except (InvalidGitRepositoryError, GitCommandError, BadName, ValueError):
        return None


def check_recordable(root: Path, made: Sequence[str], inputs: Sequence[str], tag: str) -> None:
    """`UsageError` for what `record` would fail for or mix with the work of others, as far as looking tells.

    Writes nothing, and so does not know of keys that sign commits, full disks and who else is at work meanwhile.

    made: files and folders that a run writes, whatever is in them; inputs: those that have to be committed already.
    """
    if not _is_repository(root):
        raise UsageError("--commit needs a git repository", hint="Begin one with `git init`, or leave out --commit.")
    _check_identity(root)
    _check_nothing_under_way(root)
    _check_all_seen(root, made, inputs)
    if foreign := [path for path in _changed(root, inputs) if not _is_among(path, made)]:
        raise UsageError(
            f"{_listed(foreign)} {'is' if len(foreign) == 1 else 'are'} changed and not committed",
            hint="Commit or stash that first: what a release is made from is committed before what came of it.",
        )
    if not _succeeds(root, "check-ref-format", f"refs/tags/{tag}"):
        raise UsageError(f"git allows no tag '{tag}'", hint="Change target.tag in release.yaml.")


def tagged(root: Path, tag: str) -> str | None:
    """The commit that a tag names, if there is such a tag."""
    name = f"refs/tags/{tag}^{{commit}}"
    return _git(root, "rev-parse", "--verify", name) if _succeeds(root, "rev-parse", "--verify", name) else None


def record(root: Path, made: Sequence[str], tag: str, message: str) -> str:
    """The commit that holds `made` as it is on disk, and that `tag` names: a new one where there is none yet.

    Nothing else of the tree or the index takes part. No hook runs, since one may change files that are published.
    """
    now = _on_disk(root, made)
    if taken := tagged(root, tag):
        if _committed(root, taken, made) != now:
            raise UsageError(
                f"the tag {tag} is at commit {taken[:12]} already, which holds another release",
                hint="A tag never moves: raise target.tag in release.yaml, or see `git diff` against it.",
            )
        return taken
    if (before := _committed(root, "HEAD", made)) != now:
        _commit(root, now, before, message)
    commit = _last_commit(root, made)
    if commit is None or _committed(root, commit, made) != now:
        raise UsageError(f"{_listed(sorted(now))} changed meanwhile", hint="Run the same command again.")
    _git(root, "tag", "--annotate", "--message", message, tag, commit)
    return commit


def _commit(root: Path, now: Mapping[str, str], before: Mapping[str, str], message: str) -> None:
    known = set(_lines(_git(root, "ls-files", "-z", "--", *now)))
    if new := sorted(now.keys() - known):
        _git(root, "add", "--force", "--intent-to-add", "--", *new)
    options = ("--quiet", "--no-verify", "--only", "--message", message)
    _git(root, "-c", f"core.hooksPath={os.devnull}", "commit", *options, "--", *sorted({*now, *before}))


def _check_identity(root: Path) -> None:
    for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        if not _succeeds(root, "-c", "user.useConfigOnly=true", "var", who):
            raise UsageError(
                "git does not know whose commit it would be",
                hint="Set `git config user.name` and `git config user.email`.",
            )


def _check_nothing_under_way(root: Path) -> None:
    folder = Path(_git(root, "rev-parse", "--absolute-git-dir"))
    what = next((name for file, name in _UNDER_WAY.items() if (folder / file).exists()), None)
    if what is None and _git(root, "ls-files", "--unmerged"):
        what = "a merge"
    if (lock := folder / "index.lock").exists():
        raise UsageError(
            f"another git command is at work in this repository, or was killed: there is {lock}",
            hint="Wait for it, or remove that file if no git runs.",
        )
    if what:
        raise UsageError(f"{what} is under way in this repository", hint="Finish or abort it first: see `git status`.")


def _check_all_seen(root: Path, made: Sequence[str], inputs: Sequence[str]) -> None:
    """Links and marks that keep git from seeing what files hold."""
    files = [Path(file) for path in made for file in (path, *_files(root, path))]
    ways = {way for file in files for way in (file, *file.parents)} - {Path()}
    if links := sorted(str(way) for way in ways if (root / way).is_symlink()):
        raise UsageError(
            f"{_listed(links)} {'is a symbolic link' if len(links) == 1 else 'are symbolic links'}, which git keeps as "
            "a link and not as what it leads to",
            hint="Put the files themselves there, or leave out --commit.",
        )
    marked = _lines(_git(root, "ls-files", "-v", "-z", "--", *inputs, *made))
    if hidden := sorted({line[2:] for line in marked if line[0] == "S" or line[0].islower()}):
        raise UsageError(
            f"git was told not to look whether {_listed(hidden)} changed",
            hint="Use `git update-index --no-skip-worktree` or `--no-assume-unchanged` on it, or end a sparse checkout.",
        )


def _last_commit(root: Path, paths: Sequence[str]) -> str | None:
    if not _succeeds(root, "rev-parse", "--verify", "HEAD"):
        return None
    return _git(root, "log", "-1", "--format=%H", "--", *paths) or None


def _changed(root: Path, paths: Sequence[str]) -> list[str]:
    """What differs from HEAD below `paths`, in the tree or the index, new files included; relative to `root`."""
    said = _git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *paths)
    prefix = _git(root, "rev-parse", "--show-prefix")
    return [line[3:].removeprefix(prefix) for line in _lines(said)]


def _committed(root: Path, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """Blob by path, relative to `root`."""
    entries = (line.partition("\t") for line in _lines(_git(root, "ls-tree", "-r", "-z", commit, "--", *paths)))
    return {path: kind.split()[2] for kind, _, path in entries if not _is_hidden(path)}


def _on_disk(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Like `_committed`, of the files as they are now."""
    files = [file for path in paths for file in _files(root, path) if (root / file).is_file()]
    return {file: _git(root, "hash-object", "--", file) for file in files}


def _files(root: Path, path: str) -> list[str]:
    """A file, or all that is in a folder, relative to `root`."""
    found = [root / path] if (root / path).is_file() else sorted((root / path).rglob("*"))
    return [name for file in found if not _is_hidden(name := str(file.relative_to(root)))]


def _is_hidden(path: str) -> bool:
    """Whether it is what a desktop leaves in folders, such as `.DS_Store`: no run makes that."""
    return Path(path).name.startswith(".")


def _is_among(path: str, paths: Iterable[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in paths)


def _listed(paths: Sequence[str], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more


def _lines(said: str) -> list[str]:
    return [line for line in said.split("\0") if line]


def _has_git() -> bool:
    try:
        import git
    except ImportError:  # raised where the program is missing
        return False
    return bool(git.GIT_OK)


def _is_repository(root: Path) -> bool:
    """`UsageError` where there is one, and git refuses to work with it."""
    if not _has_git():
        return False
    from git import GitCommandError

    try:
        _run(root, ("rev-parse", "--show-toplevel"))
    except GitCommandError as error:
        if "not a git repository" in str(error.stderr):
            return False
        said = _said(error)
        hint = "Git says how to allow it." if "safe.directory" in said else ""
        raise UsageError(f"git refuses this repository: {said}", hint=hint) from None
    return True


def _succeeds(root: Path, *arguments: str) -> bool:
    from git import GitCommandError

    try:
        _run(root, arguments)
    except GitCommandError:
        return False
    return True


def _git(root: Path, *arguments: str) -> str:
    """What git says, in `root`; `UsageError` with its own words when it fails."""
    from git import GitCommandError

    try:
        return _run(root, arguments)
    except GitCommandError as error:
        raise UsageError(f"git {_verb(arguments)} failed: {_said(error)}") from None


def _said(error: GitCommandError) -> str:
    said = str(error.stderr).strip().removeprefix("stderr:").strip(" '\n")
    return said or f"it ended with {error.status}"


def _verb(arguments: Sequence[str]) -> str:
    """The command in words of git, without options before it."""
    return arguments[2] if arguments[0] == "-c" else arguments[0]


def _run(root: Path, arguments: Sequence[str]) -> str:
    from git import Git

    # Names of files are names, whatever they look like; and who only looks leaves no file that git likes to write.
    return str(Git(root).execute(["git", "--literal-pathspecs", "--no-optional-locks", *arguments]))
