"""The real client against a real local Hub; both live in this process."""

from __future__ import annotations

import itertools
import os
import random

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, close_session, constants
from huggingface_hub.utils import disable_progress_bars

from pipeline.hub.local.server import LocalHub

PART_SIZE = 1000
_numbers = itertools.count()


def pytest_collection_modifyitems(items):
    # huggingface_hub 2.4 passes file objects to httpx2 as `data`, which httpx2 deprecates.
    mark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(mark)


@pytest.fixture(autouse=True)
def _client_settings(monkeypatch, tmp_path):
    """As if the variables had been set before whichever test imported the client first."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "client-cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    disable_progress_bars()
    yield
    close_session()


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """One server for all tests that do not start their own; each test has a repository and bytes of its own."""
    with LocalHub(tmp_path_factory.mktemp("hub"), part_size=PART_SIZE) as running:
        yield running


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.endpoint, token="anything")


@pytest.fixture
def anonymous(hub):
    return HfApi(endpoint=hub.endpoint, token=False)


@pytest.fixture
def repo(api, hub):
    """A new repository; the log of requests begins after it."""
    name = f"demo/model-{next(_numbers)}"
    api.create_repo(name)
    hub.requests.clear()
    return name


@pytest.fixture
def xet(hub, repo):
    """A client of the Xet protocol by hand, with a token that may write."""
    answer = httpx2.get(f"{hub.endpoint}/api/models/{repo}/xet-write-token/main", headers={"authorization": "Bearer x"})
    token = answer.json()
    with httpx2.Client(base_url=token["casUrl"], headers={"authorization": f"Bearer {token['accessToken']}"}) as client:
        yield client


@pytest.fixture
def content():
    """2500 bytes that no other test has."""
    return random.Random(next(_numbers)).randbytes(2500)


@pytest.fixture
def push(api):
    """Commits files given as bytes, and answers the commit's id."""

    def commit(repo_id, files, **options):
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        return api.create_commit(repo_id, operations, commit_message="a commit", **options).oid

    return commit
