from __future__ import annotations

import shutil

import pytest
from card_repository import git, put
from small_release import SmallRelease

from pipeline.cli import main
from pipeline.hub.retry import NO_WAITING


@pytest.fixture
def demo(repository, monkeypatch):
    """The folder of the demo's release, with what its run left, outside of git."""
    folder = repository.root / "releases" / "demo"
    shutil.rmtree(repository.root / ".git")
    put(folder)
    monkeypatch.chdir(repository.root)
    return folder


@pytest.fixture
def committed(demo):
    """The same as the only commit of a git repository."""
    root = demo.parents[1]
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "The demo")
    return demo


@pytest.fixture
def small(repository, monkeypatch):
    monkeypatch.chdir(repository.root)
    monkeypatch.setenv(NO_WAITING, "1")
    return SmallRelease(repository.root)


@pytest.fixture
def run(capsys):
    """Runs the command line; answers its exit code and what it said on both streams."""

    def run(*arguments):
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
