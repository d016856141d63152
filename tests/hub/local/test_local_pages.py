from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from huggingface_hub import CommitOperationAdd


def page(hub, path: str) -> str:
    with urllib.request.urlopen(hub.endpoint + path) as answer:
        assert answer.headers["content-type"].startswith("text/html")
        return answer.read().decode()


def test_the_address_of_a_repository_shows_files_tags_and_card(hub, api):
    api.create_repo("demo/shown")
    card = "---\nlicense: mit\n---\n<script>alert(1)</script> & more"
    api.create_commit(
        "demo/shown", [CommitOperationAdd("README.md", card.encode())], commit_message="card", repo_type="model"
    )
    api.create_tag("demo/shown", tag="v1")
    for path in ("/demo/shown", "/demo/shown/tree/v1"):
        shown = page(hub, path)
        assert "README.md" in shown
        assert ">v1<" in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in shown
        assert "<script>" not in shown
    assert ">demo/shown<" in page(hub, "/")


def test_a_private_repository_has_no_page(hub, api):
    api.create_repo("demo/hidden", private=True)
    assert "demo/hidden" not in page(hub, "/")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        page(hub, "/demo/hidden")


def test_a_dataset_has_a_page_of_its_own(hub, api):
    api.create_repo("demo/pages", repo_type="dataset")
    assert ".gitattributes" in page(hub, "/datasets/demo/pages")
