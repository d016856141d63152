from __future__ import annotations

import shutil

import pytest
from card_repository import git, put


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
