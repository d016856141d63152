from __future__ import annotations

import subprocess

import pytest

from pipeline import repository
from pipeline.errors import UsageError

MADE = ("releases/demo/README.md", "releases/demo/assets", "releases/demo/release.lock.json")
INPUTS = ("releases/demo", "releases/recipes/mixed.yaml")
TAG = "demo-v1"
IDENTITY = {"user.name": "Someone", "user.email": "someone@example.org"}


def git(root, *arguments):
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def write(root, **files):
    for name, text in files.items():
        path = root / {"release": INPUTS[0] + "/release.yaml", "recipe": INPUTS[1], "card": MADE[0]}.get(name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    for key, value in IDENTITY.items():
        git(tmp_path, "config", key, value)
    write(tmp_path, release="title: Demo", recipe="version: 1", other="of somebody else")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


@pytest.fixture
def released(root):
    """A run has written its files."""
    write(root, card="# Demo", **{MADE[2]: "{}", "releases/demo/assets/speed.png": "PNG"})
    return root


def check(root):
    repository.check_recordable(root, MADE, INPUTS, TAG)


def record(root):
    return repository.record(root, MADE, TAG, "Release demo-v1\n\nPublished.\n")


def test_the_commit_of_inputs_stays_the_same_while_others_are_made_beside_it(root):
    first = git(root, "rev-parse", "HEAD")
    assert repository.last_change(root, INPUTS[1:]) == (first, False)
    write(root, other="changed")
    git(root, "commit", "--quiet", "--all", "--message", "second")
    assert repository.last_change(root, INPUTS[1:]) == (first, False)
    write(root, recipe="version: 2")
    assert repository.last_change(root, INPUTS[1:]) == (first, True)
    git(root, "commit", "--quiet", "--all", "--message", "third")
    assert repository.last_change(root, INPUTS[1:]) == (git(root, "rev-parse", "HEAD"), False)


def test_an_input_that_was_never_committed_is_a_difference(root):
    write(root, **{"releases/demo/notes.md": "new"})
    commit, dirty = repository.last_change(root, ("releases/demo/notes.md",))
    assert (commit, dirty) == (None, True)


def test_a_release_repository_inside_of_another_repository_sees_its_own_files(root):
    write(root, **{"inner/releases/demo/release.yaml": "title: Inner"})
    assert repository.last_change(root / "inner", ("releases/demo/release.yaml",)) == (None, True)
    with pytest.raises(UsageError, match=r"^releases/demo/release\.yaml is changed"):
        check(root / "inner")


def test_outside_of_git_nothing_is_known_and_nothing_recorded(tmp_path):
    assert repository.last_change(tmp_path, INPUTS) is None
    with pytest.raises(UsageError, match="needs a git repository"):
        check(tmp_path)


def test_in_a_repository_without_a_commit_inputs_come_from_none(tmp_path):
    git(tmp_path, "init", "--quiet")
    write(tmp_path, release="title: Demo")
    assert repository.last_change(tmp_path, INPUTS) == (None, True)


def test_a_record_holds_what_happened_and_its_tag_names_it(released):
    check(released)
    commit = record(released)
    assert git(released, "show", "--name-only", "--format=", commit).split("\n") == [
        "releases/demo/README.md",
        "releases/demo/assets/speed.png",
        "releases/demo/release.lock.json",
    ]
    assert git(released, "rev-parse", f"{TAG}^{{commit}}", "HEAD").split() == [commit, commit]
    assert git(released, "cat-file", "-t", TAG) == "tag"
    assert git(released, "log", "-1", "--format=%s %an <%ae>") == "Release demo-v1 Someone <someone@example.org>"
    assert git(released, "status", "--porcelain") == ""


def test_other_work_in_the_tree_and_in_the_index_is_left_as_it_is(released):
    write(released, other="staged", **{"new file": "staged too", "untracked": "loose"})
    git(released, "add", "other", "new file")
    write(released, other="and changed again")
    git(released, "rm", "--cached", "--quiet", INPUTS[1])
    write(released, card="# Staged card")
    git(released, "add", MADE[0])
    write(released, card="# Demo")
    before = {line for line in git(released, "status", "--porcelain").split("\n") if MADE[0] not in line}
    index = git(released, "ls-files", "--stage", "other", "new file")
    commit = record(released)
    assert {line.strip() for line in before} - {"?? releases/demo/assets/", f"?? {MADE[2]}"} == {
        line.strip() for line in git(released, "status", "--porcelain").split("\n")
    }
    assert git(released, "ls-files", "--stage", "other", "new file") == index
    assert git(released, "show", f"{commit}:{MADE[0]}") == "# Demo"
    assert git(released, "show", f"{commit}:other") == "of somebody else"


def test_what_is_no_longer_made_is_no_longer_there(released):
    record(released)
    (released / "releases/demo/assets/speed.png").unlink()
    write(released, **{"releases/demo/assets/size.png": "PNG"})
    repository.record(released, MADE, "demo-v2", "Release demo-v2")
    assert git(released, "ls-tree", "--name-only", "demo-v2:releases/demo/assets") == "size.png"


def test_killed_between_commit_and_tag_the_next_run_tags_that_commit(released):
    commit = record(released)
    git(released, "tag", "--delete", TAG)
    write(released, other="someone went on")
    git(released, "commit", "--quiet", "--all", "--message", "later")
    check(released)
    assert record(released) == commit
    assert git(released, "rev-parse", f"{TAG}^{{commit}}") == commit


def test_killed_before_the_commit_the_next_run_makes_it(released):
    git(released, "add", "--intent-to-add", "--", MADE[0])
    check(released)
    assert record(released) == git(released, "rev-parse", "HEAD")
    assert git(released, "status", "--porcelain") == ""


def test_recorded_twice_is_recorded_once(released):
    commit = record(released)
    git(released, "checkout", "--quiet", "HEAD~1")
    write(released, card="# Demo", **{MADE[2]: "{}", "releases/demo/assets/speed.png": "PNG"})
    assert record(released) == commit, "even where the branch does not hold it"
    assert git(released, "rev-list", "--count", "--all") == "2"


def test_a_tag_never_moves(released):
    commit = record(released)
    write(released, card="# Another")
    with pytest.raises(UsageError, match=f"the tag demo-v1 is at commit {commit[:12]} already"):
        record(released)
    assert git(released, "rev-parse", f"{TAG}^{{commit}}", "HEAD").split() == [commit, commit]


@pytest.mark.parametrize(
    "path", ["releases/demo/release.yaml", "releases/demo/notes.md", "releases/recipes/mixed.yaml"]
)
@pytest.mark.parametrize("staged", [False, True])
def test_inputs_are_committed_first(released, path, staged):
    write(released, **{path: "changed"})
    if staged:
        git(released, "add", path)
    with pytest.raises(UsageError, match=f"^{path} is changed and not committed"):
        check(released)


def test_many_changed_inputs_are_not_all_listed(released):
    write(released, **{f"releases/demo/{letter}": "" for letter in "abcdefg"})
    with pytest.raises(UsageError, match="releases/demo/e and 2 more are changed"):
        check(released)


def test_what_the_run_makes_itself_and_work_elsewhere_is_not_in_the_way(released):
    write(released, other="changed", **{"releases/other/release.yaml": "new"})
    check(released)


@pytest.mark.parametrize("what", ["merge", "rebase", "cherry-pick", "revert"])
def test_nothing_is_recorded_amid_a_merge(released, what):
    git(released, "checkout", "--quiet", "-b", "side", "HEAD")
    write(released, other="side")
    git(released, "commit", "--quiet", "--message", "side", "other")
    git(released, "checkout", "--quiet", "main")
    write(released, other="main")
    git(released, "commit", "--quiet", "--message", "main", "other")
    write(released, other="main again")
    git(released, "commit", "--quiet", "--message", "main again", "other")
    arguments = {"merge": ["side"], "rebase": ["side"], "cherry-pick": ["side"], "revert": ["HEAD~1"]}[what]
    with pytest.raises(subprocess.CalledProcessError):
        git(released, what, *arguments)
    with pytest.raises(UsageError, match=f"a {what} is under way"):
        check(released)


def test_git_must_know_whose_commit_it_is(released, monkeypatch):
    git(released, "config", "--unset", "user.email")
    with pytest.raises(UsageError, match="whose commit") as caught:
        check(released)
    assert "git config user.email" in caught.value.hint
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "runner@example.org")
    check(released)


def test_a_tag_that_git_does_not_allow_is_refused(released):
    with pytest.raises(UsageError, match="git allows no tag"):
        repository.check_recordable(released, MADE, INPUTS, "demo-v1.lock")


def test_hooks_of_the_repository_do_not_run(released):
    hook = released / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    for name in ("commit-msg", "post-commit", "prepare-commit-msg"):
        hook.with_name(name).write_text(f"#!/bin/sh\ntouch {released}/ran-{name}\n")
        hook.with_name(name).chmod(0o755)
    record(released)
    assert not list(released.glob("ran-*"))


def test_what_git_says_is_passed_on(released):
    (released / ".git/index.lock").touch()
    with pytest.raises(UsageError, match=r"git (add|commit) failed: .*index\.lock"):
        record(released)


def test_names_of_files_are_only_names(root):
    write(root, **{":(top)*": "an input"})
    assert repository.last_change(root, (":(top)*",)) == (None, True)


def test_what_git_ignores_is_recorded_and_what_a_desktop_leaves_is_not(released):
    write(released, **{".gitignore": "*.png\n*.json\n", "releases/demo/assets/.DS_Store": "junk"})
    git(released, "add", ".gitignore")
    git(released, "commit", "--quiet", "--message", "ignored")
    check(released)
    commit = record(released)
    assert git(released, "ls-tree", "--name-only", f"{commit}:releases/demo/assets") == "speed.png"
    assert MADE[2] in git(released, "ls-tree", "-r", "--name-only", commit).split("\n")


@pytest.mark.parametrize("name", ["releases/demo/assets", "releases/demo/assets/other.png", "releases"])
def test_links_are_in_the_way(released, name, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "target"
    if (released / name).is_dir():
        (released / name).rename(elsewhere)
    else:
        elsewhere.write_text("PNG")
    (released / name).symlink_to(elsewhere)
    with pytest.raises(UsageError, match=f"^{name} is a symbolic link"):
        check(released)


def test_a_lock_that_a_killed_git_left_is_in_the_way(released):
    (released / ".git/index.lock").touch()
    with pytest.raises(UsageError, match=r"another git command .*/\.git/index\.lock") as caught:
        check(released)
    assert "remove that file" in caught.value.hint


@pytest.mark.parametrize("mark", ["--skip-worktree", "--assume-unchanged"])
@pytest.mark.parametrize("path", [MADE[0], INPUTS[1]])
def test_files_that_git_was_told_not_to_look_at_are_in_the_way(released, mark, path):
    git(released, "add", MADE[0])
    git(released, "commit", "--quiet", "--message", "a card")
    git(released, "update-index", mark, path)
    with pytest.raises(UsageError, match=f"not to look whether {path} changed"):
        check(released)


@pytest.mark.parametrize("kind", ["file", "submodule"])
def test_a_commit_whose_folder_is_none_holds_no_files(root, kind):
    git(root, "rm", "--quiet", "-r", "releases")
    if kind == "file":
        write(root, releases="a file")
        git(root, "add", "releases")
    else:
        git(root, "update-index", "--add", "--cacheinfo", f"160000,{git(root, 'rev-parse', 'HEAD')},releases")
    git(root, "commit", "--quiet", "--message", kind)
    assert repository.committed_files(root, "HEAD", "releases") == (git(root, "rev-parse", "HEAD"), {})


def test_a_repository_that_git_refuses_is_an_error_and_not_none(root, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for look in (
        lambda: repository.committed_files(root, "HEAD", "releases"),
        lambda: repository.last_change(root, INPUTS),
        lambda: check(root),
    ):
        with pytest.raises(UsageError, match=r"git refuses this repository: .*dubious ownership"):
            look()
