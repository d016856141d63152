from __future__ import annotations

import hashlib

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from pipeline.hub.local.server import LocalHub


def status_of(error):
    return error.value.response.status_code


def test_any_token_is_the_demo_account_and_none_is_nobody(api, hub):
    assert api.whoami()["name"] == "demo"
    assert httpx2.get(f"{hub.endpoint}/api/whoami-v2").status_code == 401


def test_explicit_tokens_name_their_accounts_and_no_other_is_taken(tmp_path):
    with LocalHub(tmp_path, tokens={"hf_ann": "ann"}) as hub:
        ann, eve = (HfApi(endpoint=hub.endpoint, token=token) for token in ("hf_ann", "hf_eve"))
        assert ann.whoami()["name"] == "ann"
        assert ann.create_repo("mine").repo_id == "ann/mine"
        with pytest.raises(HfHubHTTPError, match="Invalid user token") as error:
            eve.whoami()
        assert status_of(error) == 401
        with pytest.raises(HfHubHTTPError) as error:
            eve.create_repo("eve/hers")
        assert status_of(error) == 401


def test_a_new_repository_starts_as_on_the_hub(api, repo):
    found = api.repo_info(repo, files_metadata=True)
    assert [(s.rfilename, s.size, s.blob_id) for s in found.siblings] == [
        # What the Hub itself writes into a new model repository, byte for byte.
        (".gitattributes", 1519, "a6344aac8c09253b3b630fb776ae94478aa0275b")
    ]
    assert found.sha == api.list_repo_commits(repo)[0].commit_id
    assert not found.private


def test_a_second_create_is_a_conflict_that_says_where_the_first_is(api, repo):
    with pytest.raises(HfHubHTTPError, match="already created") as error:
        api.create_repo(repo)
    assert status_of(error) == 409
    url = api.create_repo(repo, exist_ok=True)
    assert (url.repo_id, url.repo_type) == (repo, "model")


def test_models_and_datasets_of_one_name_are_two_repositories(api, repo):
    url = api.create_repo(repo, repo_type="dataset")
    assert (url.repo_id, url.repo_type) == (repo, "dataset")
    api.delete_repo(repo)
    assert api.dataset_info(repo).id == repo
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(repo)


def test_a_deleted_repository_is_gone_and_its_name_free(api, repo, push):
    push(repo, {"model.safetensors": b"weights"})
    api.delete_repo(repo)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(repo)
    api.delete_repo(repo, missing_ok=True)
    api.create_repo(repo)
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_a_name_that_the_hub_would_refuse_is_refused(hub):
    for name in ("a--b", "..", "a..b", "x.git", "-x", "a/b", "a b", "x" * 97):
        answer = httpx2.post(
            f"{hub.endpoint}/api/repos/create",
            json={"name": name, "organization": "demo"},
            headers={"authorization": "Bearer x"},
        )
        assert answer.status_code == 400, name
        assert "not a repository id" in answer.json()["error"]


def test_without_a_token_nothing_can_be_written(anonymous, repo, api):
    head = api.repo_info(repo).sha
    writes = [
        lambda: anonymous.create_repo("demo/other"),
        lambda: anonymous.delete_repo(repo),
        lambda: anonymous.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=repo),
        lambda: anonymous.create_tag(repo, tag="v1"),
        lambda: anonymous.create_branch(repo, branch="b"),
        lambda: anonymous.delete_branch(repo, branch="b"),
    ]
    for write in writes:
        with pytest.raises(HfHubHTTPError, match="Invalid username or password") as error:
            write()
        assert status_of(error) == 401
    assert api.repo_info(repo).sha == head
    assert anonymous.repo_info(repo).sha == head  # reading a public repository needs none


def test_a_private_repository_does_not_exist_without_a_token(api, anonymous):
    api.create_repo("demo/secret", private=True)
    assert api.repo_info("demo/secret").private
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="demo/secret")
    for read in (anonymous.repo_info, anonymous.list_repo_files, anonymous.list_repo_refs):
        with pytest.raises(RepositoryNotFoundError):
            read("demo/secret")
    with pytest.raises(RepositoryNotFoundError):
        anonymous.get_hf_file_metadata(url=f"{anonymous.endpoint}/demo/secret/resolve/main/a.txt")


def test_what_is_missing_has_the_clients_own_exception(api, repo):
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info("demo/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(repo, revision="nothing")
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(repo, revision="0" * 40)
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(repo, tag="nothing")
    assert not api.file_exists(repo, "nothing.txt")


@pytest.mark.parametrize(
    "path", ["/api/agent-harnesses", "/api/models", "/api/spaces/demo/x", "/demo/x", "/%2e%2e/%2e%2e"]
)
def test_unknown_probes_are_not_found(hub, path):
    answer = httpx2.get(hub.endpoint + path)
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_tags_and_branches_come_and_go(api, repo, push):
    first = api.repo_info(repo).sha
    second = push(repo, {"a.txt": b"a"})
    api.create_tag(repo, tag="v1", revision=first)
    api.create_branch(repo, branch="feature/one", revision="v1")
    refs = api.list_repo_refs(repo)
    assert {(r.ref, r.target_commit) for r in (*refs.branches, *refs.tags)} == {
        ("refs/heads/main", second),
        ("refs/heads/feature/one", first),
        ("refs/tags/v1", first),
    }
    assert api.repo_info(repo, revision="v1").sha == first
    assert api.repo_info(repo, revision="feature/one").sha == first
    assert api.repo_info(repo, revision="refs/heads/main").sha == second

    third = push(repo, {"b.txt": b"b"}, revision="feature/one")
    assert [commit.commit_id for commit in api.list_repo_commits(repo, revision="feature/one")] == [third, first]
    assert api.list_repo_files(repo, revision="feature/one") == [".gitattributes", "b.txt"]
    assert api.repo_info(repo).sha == second

    api.delete_tag(repo, tag="v1")
    api.delete_branch(repo, branch="feature/one")
    refs = api.list_repo_refs(repo)
    assert ([r.name for r in refs.branches], refs.tags) == (["main"], [])


def test_an_existing_tag_is_never_moved(api, repo, push):
    first = api.repo_info(repo).sha
    api.create_tag(repo, tag="v1")
    push(repo, {"a.txt": b"a"})
    with pytest.raises(HfHubHTTPError, match="already exists") as error:
        api.create_tag(repo, tag="v1")
    assert status_of(error) == 409
    api.create_tag(repo, tag="v1", exist_ok=True)
    api.create_branch(repo, branch="main", exist_ok=True)
    assert api.repo_info(repo, revision="v1").sha == first


@pytest.mark.parametrize("name", ["a b", "a..b", "x.lock", "/x", "a:b", "x/"])
def test_a_name_that_git_would_refuse_is_no_tag(api, repo, name):
    with pytest.raises(HfHubHTTPError) as error:
        api.create_tag(repo, tag=name)
    assert status_of(error) == 400


def test_main_cannot_be_deleted(api, repo):
    with pytest.raises(HfHubHTTPError) as error:
        api.delete_branch(repo, branch="main")
    assert status_of(error) == 400
    assert api.repo_info(repo).sha


def test_the_tree_shows_files_folders_digests_and_last_commits(api, repo, push):
    first = push(repo, {"model.safetensors": b"weights", "docs/a/one.txt": b"1", "docs/two.txt": b"2"})
    second = push(repo, {"docs/two.txt": b"two"})

    top = {each.path: each for each in api.list_repo_tree(repo)}
    assert sorted(top) == [".gitattributes", "docs", "model.safetensors"]
    weights = top["model.safetensors"]
    assert (weights.size, weights.lfs.sha256) == (7, hashlib.sha256(b"weights").hexdigest())
    assert top[".gitattributes"].lfs is None

    below = {each.path: each for each in api.list_repo_tree(repo, "docs", recursive=True, expand=True)}
    assert sorted(below) == ["docs/a", "docs/a/one.txt", "docs/two.txt"]
    # `printf two | git hash-object --stdin`
    assert below["docs/two.txt"].blob_id == "64c5e5885a4b06010b3a0c20edb7900dd0311025"
    assert below["docs/two.txt"].last_commit.oid == second
    assert below["docs/a"].last_commit.oid == below["docs/a/one.txt"].last_commit.oid == first

    chosen = api.get_paths_info(repo, ["docs", "model.safetensors", "nothing"], revision=first)
    assert [each.path for each in chosen] == ["docs", "model.safetensors"]
    with pytest.raises(HfHubHTTPError):
        list(api.list_repo_tree(repo, "nothing"))


def test_a_repository_tells_what_its_card_says(api, hub, repo, push):
    front = "library_name: mlx\npipeline_tag: text-generation\ntags: [mlx, chat]\nwritten: 2026-11-27\nodd: .nan"
    push(repo, {"README.md": f"---\n{front}\n---\n# A model\n".encode()})
    found = api.model_info(repo)
    assert (found.library_name, found.pipeline_tag, found.tags) == ("mlx", "text-generation", ["mlx", "chat"])
    assert found.card_data.to_dict()["written"] == "2026-11-27"
    push(repo, {"README.md": b"---\nlicense: mit\n---\n"})
    assert api.model_info(repo).tags == []


def test_head_is_main_and_a_history_tells_its_length(api, hub, repo, push):
    commit = push(repo, {"a.txt": b"one"})
    assert api.repo_info(repo, revision="HEAD").sha == commit
    answer = httpx2.get(f"{hub.endpoint}/api/models/{repo}/commits/main")
    assert answer.headers["x-total-count"] == "2" == str(len(answer.json()))
